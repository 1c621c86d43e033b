import assert from "node:assert/strict";
import { test } from "node:test";
import type { Column, Table } from "../api/types.ts";
import { canUndo, checklist, choices, insertable, isSame, locked, restored, typed } from "./shape.ts";

const column = (name: string, type: string, more: Partial<Column> = {}): Column => ({
  name,
  type,
  nullable: false,
  default: null,
  generated: null,
  identity: null,
  in_key: false,
  ...more,
});
const table = (...columns: Column[]): Table => ({ name: "public.t", key: ["id"], columns });
const id = column("id", "bigint", { in_key: true, identity: "by default" });
const TODOS = table(
  id,
  column("title", "text"),
  column("done", "boolean", { default: "false" }),
  column("created_at", "timestamp with time zone", { default: "now()" }),
);

test("a text and one boolean are a checklist", () => {
  assert.deepEqual(checklist(TODOS), { text: "title", done: "done" });
});

test("any other table is not", () => {
  assert.equal(checklist(table(id, column("title", "text"))), undefined);
  assert.equal(
    checklist(table(id, column("a", "boolean"), column("b", "boolean"), column("title", "text"))),
    undefined,
  );
  assert.equal(checklist(table(column("name", "text", { in_key: true }), column("done", "boolean"))), undefined);
  assert.equal(checklist(table(id, column("n", "numeric(10,2)"), column("done", "boolean"))), undefined);
  const text = column("name", "text");
  const active = column("active", "boolean");
  assert.deepEqual(checklist(table(id, active, text)), { text: "name", done: "active" });
  for (const hidden of [
    column("email", "text"),
    column("phone", "character varying(20)", { nullable: true }),
    column("balance", "numeric", { default: "0" }),
    column("twice", "integer", { generated: "id * 2" }),
    column("due", "date"),
  ])
    assert.equal(checklist(table(id, text, active, hidden)), undefined, hidden.name);
  assert.equal(checklist(table(id, column("name", "text", { generated: "'a'" }), active)), undefined);
});

test("a new row is asked for what the database does not make itself", () => {
  const { required, optional } = insertable(
    table(
      id,
      column("title", "text"),
      column("note", "text", { nullable: true }),
      column("total", "numeric", { generated: "a + b" }),
    ),
  );
  assert.deepEqual(
    required.map((each) => each.name),
    ["title"],
  );
  assert.deepEqual(
    optional.map((each) => each.name),
    ["id", "note"],
  );
});

test("keys and generated columns are not edited, with the reason", () => {
  assert.match(locked(id) ?? "", /part of the key/);
  assert.match(locked(column("total", "numeric", { generated: "a + b" })) ?? "", /generated/);
  assert.equal(locked(column("title", "text")), undefined);
});

test("a deleted row comes back with its key, unless only the database gives keys", () => {
  assert.ok(canUndo(TODOS));
  assert.ok(!canUndo(table(column("id", "bigint", { in_key: true, identity: "always" }))));
  const all = table(id, column("a", "integer"), column("twice", "integer", { generated: "a * 2" }));
  assert.deepEqual(restored(all, { id: "1", a: 2, twice: 4 }), { id: "1", a: 2 });
});

test("booleans are sent as such, everything else as text", () => {
  assert.equal(typed(column("done", "boolean"), "true"), true);
  assert.equal(typed(column("n", "bigint"), "9007199254740993"), "9007199254740993");
});

test("no choice is null, and an empty text is a text", () => {
  const maybe = { nullable: true };
  assert.equal(typed(column("done", "boolean", maybe), ""), null);
  assert.equal(typed(column("done", "boolean", maybe), "false"), false);
  assert.equal(typed(column("mood", "mood", { ...maybe, enum_values: ["sad"] }), ""), null);
  assert.equal(typed(column("mood", "mood", { enum_values: ["", "sad"] }), ""), "");
  assert.equal(typed(column("title", "text", maybe), ""), "");
  assert.equal(choices(column("title", "text")), undefined);
});

test("null is not the text null", () => {
  assert.ok(isSame(null, null) && isSame("a", "a") && isSame(5, "5") && isSame(true, true));
  for (const [before, after] of [
    [null, "null"],
    [null, ""],
    [null, false],
    ["null", null],
    ["a", "b"],
    [true, false],
  ] as const)
    assert.ok(!isSame(before, after), `${before} and ${after}`);
});
