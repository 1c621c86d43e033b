import assert from "node:assert/strict";
import { test } from "node:test";
import type { Change, Row } from "../api/types.ts";
import { appeared, changed } from "./align.ts";
import { CONNECTED } from "./kubectl.ts";
import { everywhere, hopTitle, marks, settled, spoken, Trail } from "./trail.ts";

const SITES = ["server", "client-1", "client-2"];
const ALL = { sites: SITES.length, of: SITES.length };
const VERSION = String((1795221267123456n << 10n) | 1n);
const AT = "2026-11-21T00:34:27.200000Z";
const row: Row = {
  key: { id: "1" },
  key_path: "1",
  values: { id: "1" },
  version: VERSION,
  parent: null,
  written_at: "",
  written_at_site: "client-1",
};
const change = (site: string, applied: boolean): Change => ({
  site,
  table: "t",
  op: "c",
  key: { id: "1" },
  key_path: "1",
  version: VERSION,
  parent: null,
  row,
  at: AT,
  applied,
});
const states = (all: ReturnType<typeof marks>) => all.map((mark) => `${mark.hop}@${mark.site}:${mark.state}`);

test("the marks follow a version from where it was written to every site", () => {
  const trail = new Trail();
  trail.change(change("client-1", false));
  let aligned = appeared(change("client-1", false), SITES);
  assert.deepEqual(states(marks(aligned, SITES, {}, trail, CONNECTED)), [
    "local@client-1:done",
    "captured@client-1:pending",
    "in_kafka@client-1:pending",
    "applied@server:pending",
    "applied@client-2:pending",
  ]);
  const hop = { table: "t", key: { id: "1" }, key_path: "1", version: VERSION, site: "client-1", at: AT } as const;
  trail.hop({ ...hop, site: "server", hop: "in_kafka" });
  trail.hop({ ...hop, hop: "captured" });
  assert.deepEqual(states(marks(aligned, SITES, {}, trail, CONNECTED)).slice(1, 3), [
    "captured@client-1:done",
    "in_kafka@client-1:pending",
  ]);
  trail.hop({ ...hop, hop: "in_kafka" });
  assert.deepEqual(states(marks(aligned, SITES, {}, trail, CONNECTED)).slice(1, 4), [
    "captured@client-1:done",
    "in_kafka@client-1:done",
    "applied@server:pending",
  ]);
  trail.change(change("server", true));
  aligned = changed(aligned, change("server", true), SITES);
  const now = marks(aligned, SITES, {}, trail, CONNECTED);
  assert.equal(now.find((mark) => mark.hop === "applied" && mark.site === "server")?.at, AT);
  assert.equal(spoken(now, ALL), "written at client-1, in Kafka, pending at client-2");
  aligned = changed(aligned, change("client-2", true), SITES);
  const there = marks(aligned, SITES, {}, trail, CONNECTED);
  assert.equal(spoken(there, ALL), "written at client-1, settled at every site");
  assert.deepEqual([settled(now, ALL), settled(there, ALL)], [false, true]);
});

test("of sites that are not shown nothing is said", () => {
  const chosen = ["server", "client-1"];
  const aligned = changed(appeared(change("client-1", false), chosen), change("server", true), chosen);
  const all = marks(aligned, chosen, {}, new Trail(), CONNECTED);
  assert.ok(all.every(({ state }) => state === "done"));
  const shown = { sites: 2, of: 3 };
  assert.equal(spoken(all, shown), "written at client-1, settled at the sites shown (2 of 3)");
  assert.equal(settled(all, shown), false);
  // How many there are is not known yet.
  assert.equal(everywhere({ sites: 2, of: undefined }), "at the sites shown (2)");
  assert.equal(settled(all, { sites: 2, of: undefined }), false);
  assert.equal(settled(all, { sites: 2, of: 2 }), true);
  // A site that was removed meanwhile may still be among the rows.
  assert.equal(everywhere({ sites: 3, of: 2 }), "at every site");
  assert.equal(settled([], ALL), false);
});

test("what another site holds has been in Kafka, though no event said so", () => {
  const aligned = changed(appeared(change("client-1", false), SITES), change("server", true), SITES);
  assert.deepEqual(states(marks(aligned, SITES, {}, new Trail(), CONNECTED)).slice(1, 3), [
    "captured@client-1:done",
    "in_kafka@client-1:done",
  ]);
});

test("without events the hops between are unknown, not pending; so is a site that cannot be reached", () => {
  const all = marks(
    appeared(change("client-1", false), SITES),
    SITES,
    { "client-2": "no answer" },
    new Trail(),
    CONNECTED,
  );
  assert.deepEqual(states(all).slice(1), [
    "captured@client-1:unknown",
    "in_kafka@client-1:unknown",
    "applied@server:pending",
    "applied@client-2:unknown",
  ]);
  assert.equal(spoken(all, ALL), "written at client-1, not seen in Kafka, pending at server, not known at client-2");
});

test("a way that was asked for tells what no event told", () => {
  const trail = new Trail();
  const hop = (name: "local" | "captured" | "in_kafka" | "applied", state: "done" | "pending", site = "client-1") => ({
    hop: name,
    site,
    state,
    at: name === "local" ? AT : null,
  });
  trail.way({
    key: "1",
    version: VERSION,
    settled: false,
    hops: [
      hop("local", "done"),
      hop("captured", "done"),
      hop("in_kafka", "pending"),
      hop("applied", "pending", "server"),
    ],
  });
  const all = marks(appeared(change("client-1", false), SITES), SITES, {}, trail, CONNECTED);
  assert.deepEqual(states(all).slice(0, 3), [
    "local@client-1:done",
    "captured@client-1:done",
    "in_kafka@client-1:pending",
  ]);
  assert.deepEqual(
    all.slice(0, 2).map(({ at }) => at),
    [AT, undefined],
  );
});

test("a hop whose link is cut is told from one that waits", () => {
  const trail = new Trail();
  trail.change(change("client-1", false));
  const aligned = appeared(change("client-1", false), SITES);
  const cut = (asked: Partial<typeof CONNECTED>): string[] =>
    marks(aligned, SITES, {}, trail, { ...CONNECTED, ...asked })
      .filter((mark) => mark.cut)
      .map(({ hop, site }) => `${hop}@${site}`);
  assert.deepEqual(cut({}), []);
  assert.deepEqual(cut({ clients: [1] }), ["captured@client-1", "in_kafka@client-1"]);
  assert.deepEqual(cut({ clients: [1], link: "Downlink" }), []);
  assert.deepEqual(cut({ clients: [2] }), ["applied@client-2"]);
  assert.deepEqual(cut({ clients: [1, 2], link: "Uplink" }), ["captured@client-1", "in_kafka@client-1"]);
  assert.deepEqual(cut({ server: true }), ["applied@server", "applied@client-2"]);
  assert.deepEqual(cut({ server: true, link: "Downlink" }), ["applied@server"]);
  const there = changed(aligned, change("server", true), SITES);
  const all = marks(there, SITES, {}, trail, { ...CONNECTED, clients: [1, 2] });
  assert.equal(spoken(all, ALL), "written at client-1, in Kafka, pending at client-2 (cut)");
  assert.equal(
    spoken(marks(aligned, SITES, {}, trail, { ...CONNECTED, clients: [1] }), ALL),
    "written at client-1, cut from Kafka, pending at server, client-2",
  );
});

test("a delete has a way too", () => {
  const version = String((1795221267999999n << 10n) | 2n);
  let aligned = SITES.reduce(
    (so, site) => changed(so, change(site, true), SITES),
    appeared(change("client-1", false), SITES),
  );
  aligned = changed(aligned, { ...change("client-2", false), op: "d", row: null, version }, SITES);
  assert.deepEqual(states(marks(aligned, SITES, {}, new Trail(), CONNECTED)), [
    "local@client-2:done",
    "captured@client-2:unknown",
    "in_kafka@client-2:unknown",
    "applied@server:pending",
    "applied@client-1:pending",
  ]);
});

test("old versions are forgotten", () => {
  const trail = new Trail(2);
  for (const id of ["1", "2", "3"]) trail.change({ ...change("client-1", false), key_path: id });
  assert.deepEqual(
    ["1", "2", "3"].map((id) => trail.knows(id, VERSION)),
    [false, true, true],
  );
});

test("hops have names people read", () => {
  assert.equal(hopTitle({ hop: "captured", site: "client-1" }), "captured from client-1's WAL");
  assert.equal(hopTitle({ hop: "applied", site: "server" }), "applied at server");
});
