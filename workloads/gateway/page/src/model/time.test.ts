import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, duration, moment, parseHealAfter, since } from "./time.ts";

test("a duration is said with its two largest units", () => {
  const said = [
    0, 42.4, 999, 999.6, 4240, 9949, 9951, 12_000, 59_600, 65_000, 3_600_000, 12_000_000, 187_200_000, -5,
  ].map(duration);
  assert.deepEqual(said, [
    "0 ms",
    "42 ms",
    "999 ms",
    "1 s",
    "4.2 s",
    "9.9 s",
    "10 s",
    "12 s",
    "1 min",
    "1 min 5 s",
    "1 h",
    "3 h 20 min",
    "2 d 4 h",
    "0 ms",
  ]);
});

test("what is in the future by a skewed clock is just now", () => {
  assert.equal(since(5000, 4000), "just now");
  assert.equal(since(0, 61_000), "1 min 1 s ago");
});

test("healAfter is read as the API server reads it", () => {
  assert.deepEqual(["30s", "5m", "2h", "0s", "5", "1d", "1.5h", ""].map(parseHealAfter), [
    30_000,
    300_000,
    7_200_000,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

test("a moment has its day only when it is not today", () => {
  const noon = new Date(2026, 10, 21, 12, 0, 0).getTime();
  assert.equal(moment(noon - 1000, noon), "11:59:59");
  assert.equal(moment(noon - 86_400_000, noon), "2026-11-20 12:00:00");
});

test("sizes", () => {
  assert.deepEqual([0, 999, 1000, 1_440_000, 250_000_000].map(bytes), ["0 B", "999 B", "1.0 kB", "1.4 MB", "250 MB"]);
});
