import assert from "node:assert/strict";
import { test } from "node:test";
import { and, equals, literal, name, understood } from "./filter.ts";

test("a value becomes a condition that finds it", () => {
  assert.equal(equals("title", "it's"), "title = 'it''s'");
  assert.equal(equals("done", false), "done = false");
  assert.equal(equals("note", null), "note is null");
  assert.equal(equals("Total", 1.5), '"Total" = 1.5');
  assert.equal(literal(Number.NaN), "'NaN'");
});

test("names that are not plain are quoted", () => {
  assert.deepEqual(["title", "Title", "a b", 'a"b', "and", "_x1"].map(name), [
    "title",
    '"Title"',
    '"a b"',
    '"a""b"',
    '"and"',
    "_x1",
  ]);
});

test("conditions are joined, and not twice", () => {
  assert.equal(and(undefined, "a = 1"), "a = 1");
  assert.equal(and(" a = 1 ", "b = 2"), "a = 1 and b = 2");
  assert.equal(and("a = 1 and b = 2", "b = 2"), "a = 1 and b = 2");
});

test("plain words are looked for in the text; a filter is left as it is", () => {
  assert.equal(understood("milk", "title"), "title ilike '%milk%'");
  assert.equal(understood("50% of_it", "title"), "title ilike '%50\\% of\\_it%'");
  assert.equal(understood("done = true", "title"), "done = true");
  assert.equal(understood("id in (1, 2)", "title"), "id in (1, 2)");
  assert.equal(understood("milk", undefined), "milk");
  assert.equal(understood("  ", "title"), "");
});
