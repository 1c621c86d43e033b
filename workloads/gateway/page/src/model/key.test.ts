import assert from "node:assert/strict";
import { test } from "node:test";
import { keyPath, rowSegment, shownKey } from "./key.ts";

test("a plain id is itself, as a path and in a URL", () => {
  assert.equal(keyPath({ id: "1025" }, ["id"]), "1025");
  assert.equal(rowSegment("1025"), "1025");
});

test("commas and slashes inside a key's values do not split it", () => {
  const path = keyPath({ b: "x/y", a: "1,2" }, ["a", "b"]);
  assert.equal(path, "1%2C2,x%2Fy");
  assert.equal(rowSegment(path), "1%252C2%2Cx%252Fy");
  assert.equal(shownKey(path), "1,2 · x/y");
});
