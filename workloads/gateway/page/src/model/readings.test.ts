import assert from "node:assert/strict";
import { test } from "node:test";
import { Readings } from "./readings.ts";

test("an answer is shown though the same is being asked again", () => {
  const readings = new Readings();
  const first = readings.begin("/todos");
  const second = readings.begin("/todos");
  assert.equal(readings.takes(first), true);
  assert.equal(readings.isLast(first), false);
  assert.equal(readings.takes(second), true);
  assert.equal(readings.isLast(second), true);
});

test("an answer that was overtaken is not shown", () => {
  const readings = new Readings();
  const first = readings.begin("/todos");
  const second = readings.begin("/todos");
  assert.equal(readings.takes(second), true);
  assert.equal(readings.takes(first), false);
});

test("an answer to what nobody asks any more is not shown, also where it is asked again", () => {
  const readings = new Readings();
  const first = readings.begin("/todos");
  const other = readings.begin("/readings");
  assert.equal(readings.takes(first), false);
  const again = readings.begin("/todos");
  assert.equal(readings.takes(other), false);
  assert.equal(readings.takes(first), false);
  assert.equal(readings.takes(again), true);
});
