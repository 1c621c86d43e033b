import assert from "node:assert/strict";
import { test } from "node:test";
import type { Conflict, Row } from "../api/types.ts";
import { asDecided, asFound } from "./precondition.ts";

const conflict: Conflict = {
  site: "server",
  id: "7",
  at: "2026-11-21T00:34:27.200000Z",
  table: "public.todos",
  key: { id: "1" },
  key_path: "1",
  kind: "update/update",
  policy: "LastWriterWins",
  winner: { id: "1", title: "soy milk" },
  winner_version: "1790000000000000001",
  loser: { id: "1", title: "oat milk" },
  loser_version: "1790000000000000000",
  topic: "demo.client-1",
  reapplied_at: null,
  reapply_obstacle: null,
};

test("a loser is made again over the winner that is shown", () => {
  assert.deepEqual(asDecided(conflict), { ifMatch: "1790000000000000001" });
});

test("where a delete won, or a row with another key, there is no row", () => {
  assert.deepEqual(asDecided({ ...conflict, kind: "update/delete", winner: null }), { ifNoneMatch: "*" });
  assert.deepEqual(asDecided({ ...conflict, kind: "unique" }), { ifNoneMatch: "*" });
});

test("whoever has seen what is there now overwrites that, and nothing newer", () => {
  const row: Row = {
    key: { id: "1" },
    key_path: "1",
    values: { id: "1", title: "rice milk" },
    version: "1790000000000000002",
    parent: "1790000000000000001",
    written_at: "2026-11-22T00:00:00.000000Z",
    written_at_site: "client-1",
  };
  assert.deepEqual(asFound(row), { ifMatch: "1790000000000000002" });
  assert.deepEqual(asFound(null), { ifNoneMatch: "*" });
});
