import assert from "node:assert/strict";
import { test } from "node:test";
import type { Change, Row } from "../api/types.ts";
import {
  appeared,
  changed,
  compareKeys,
  difference,
  differs,
  inserted,
  isEqual,
  live,
  newest,
  present,
  reference,
  versionAt,
} from "./align.ts";

const SITES = ["server", "client-1", "client-2"];
const row = (title: string, version: string, id = "1"): Row => ({
  key: { id },
  key_path: id,
  values: { id, title },
  version,
  parent: null,
  written_at: "",
  written_at_site: "server",
});
const change = (site: string, op: "c" | "u" | "d", version: string | null, title = "x", id = "1"): Change => ({
  site,
  table: "public.todos",
  op,
  key: { id },
  key_path: id,
  version,
  parent: null,
  row: op === "d" ? null : row(title, version ?? "0", id),
  at: "",
  applied: false,
});
const everywhere = (title: string, version: string, id = "1") =>
  live({
    key: { id },
    key_path: id,
    equal: true,
    cells: Object.fromEntries(SITES.map((site) => [site, row(title, version, id)])),
  });

test("a change at one site makes the row differ there, and the others' catching up makes it equal", () => {
  let aligned = changed(everywhere("milk", "10"), change("client-1", "u", "20", "oat milk"), SITES);
  assert.equal(aligned.equal, false);
  assert.deepEqual(difference(aligned, "client-1", SITES), { kind: "columns", columns: ["title"] });
  assert.ok(differs(difference(aligned, "client-1", SITES), "title"));
  assert.equal(difference(aligned, "client-2", SITES).kind, "same");
  for (const site of ["server", "client-2"]) aligned = changed(aligned, change(site, "u", "20", "oat milk"), SITES);
  assert.equal(aligned.equal, true);
});

test("an event that is older than what was read changes nothing", () => {
  const aligned = everywhere("new", "20");
  assert.equal(changed(aligned, change("client-1", "u", "10", "old"), SITES), aligned);
});

test("a delete leaves its version, so that what was overtaken does not bring the row back", () => {
  const deleted = changed(everywhere("milk", "10"), change("client-1", "d", "20"), SITES);
  assert.equal(deleted.cells["client-1"], null);
  assert.equal(versionAt(deleted, "client-1"), "20");
  assert.equal(newest(deleted, SITES), "20");
  assert.equal(difference(deleted, "client-1", SITES).kind, "missing");
  assert.equal(changed(deleted, change("client-1", "c", "15"), SITES), deleted);
  assert.equal(changed(deleted, change("client-1", "c", "30"), SITES).cells["client-1"]?.version, "30");
});

test("a row that was displaced without a version is gone, and may be set again by an older version", () => {
  const displaced = changed(everywhere("milk", "10"), change("client-1", "d", null), SITES);
  assert.equal(displaced.cells["client-1"], null);
  assert.equal(changed(displaced, change("client-1", "c", "5"), SITES).cells["client-1"]?.version, "5");
});

test("a row is extra where the server has none, and equal only if values and versions are", () => {
  const aligned = appeared(change("client-2", "c", "7"), SITES);
  assert.equal(difference(aligned, "client-2", SITES).kind, "extra");
  assert.equal(difference(aligned, "client-1", SITES).kind, "same");
  const cells = { server: row("a", "1"), "client-1": row("a", "2"), "client-2": row("a", "1") };
  assert.equal(isEqual(cells, SITES), false);
  assert.equal(difference({ ...aligned, cells }, "client-1", SITES).kind, "version");
});

test("a generated column that an event does not have makes no difference", () => {
  const full = row("a", "1");
  const cells = { server: { ...full, values: { ...full.values, total: "5" } }, "client-1": full, "client-2": full };
  assert.ok(isEqual(cells, SITES));
  assert.equal(difference({ ...everywhere("a", "1"), cells }, "client-1", SITES).kind, "same");
});

test("new rows stand where their key belongs, as numbers", () => {
  const rows = ["2", "10", "1025"].map((id) => everywhere("x", "1", id));
  const at = (id: string, goesOn: boolean) =>
    inserted(rows, everywhere("x", "1", id), ["id"], goesOn, 50).rows.map((found) => found.key_path);
  assert.deepEqual(at("3", true), ["2", "3", "10", "1025"]);
  assert.deepEqual(at("2049", false), ["2", "10", "1025", "2049"]);
  assert.deepEqual(at("2049", true), ["2", "10", "1025"]);
  const keyed = (a: string, b: number) => ({ ...everywhere("x", "1"), key: { a, b } });
  assert.ok(compareKeys(keyed("a", 2), keyed("a", 10), ["a", "b"]) < 0);
});

test("a page never holds more than it may, wherever rows are set, and says when there is one behind it", () => {
  const add = (page: { rows: readonly ReturnType<typeof everywhere>[] }, id: number) =>
    inserted(page.rows, everywhere("x", "1", String(id)), ["id"], false, 50);
  let page = { rows: [] as readonly ReturnType<typeof everywhere>[], over: false };
  for (let id = 1; id <= 50; id++) {
    page = add(page, 2 * id);
    assert.deepEqual([page.rows.length, page.over], [id, false]);
  }
  for (let id = 51; id < 1000; id++) {
    page = add(page, 2 * id);
    assert.deepEqual([page.rows.length, page.rows.at(-1)?.key_path, page.over], [50, "100", true]);
  }
  page = add(page, 51);
  assert.deepEqual([page.rows.length, page.rows[25]?.key_path, page.rows.at(-1)?.key_path], [50, "51", "98"]);
  assert.ok(page.over);
});

test("rows that no site has any more are left out", () => {
  let aligned = everywhere("milk", "10");
  for (const site of SITES) aligned = changed(aligned, change(site, "d", "20"), SITES);
  const other = everywhere("x", "1", "2");
  assert.deepEqual(present([aligned, other], SITES), [other]);
});

test("sites are compared with the server, or with the first that is shown", () => {
  assert.equal(reference(SITES), "server");
  assert.equal(reference(["client-2", "client-3"]), "client-2");
  assert.equal(reference([]), undefined);
});
