import assert from "node:assert/strict";
import { test } from "node:test";
import { sides } from "./sides.ts";

test("columns that differ are marked, whatever form a value has", () => {
  const found = sides(
    { id: 1, title: "soy milk", note: null, sync_version: 9 },
    { id: "1", title: "oat milk", note: null, sync_version: 8 },
  );
  assert.deepEqual(
    found.map(({ column, differs }) => [column, differs]),
    [
      ["id", false],
      ["title", true],
      ["note", false],
    ],
  );
});

test("a delete has no columns, so every one of the other side differs", () => {
  assert.deepEqual(
    sides(null, { id: "1", title: "x" }).map(({ differs }) => differs),
    [true, true],
  );
  assert.deepEqual(sides(null, null), []);
});

test("null and the text null are not the same", () => {
  assert.equal(sides({ a: null }, { a: "null" })[0]?.differs, true);
});
