import assert from "node:assert/strict";
import { test } from "node:test";
import {
  alsoChanged,
  CONNECTED,
  type Cut,
  cutOf,
  isCut,
  isHealed,
  kubectl,
  others,
  withCounter,
  withSite,
} from "./kubectl.ts";

test("the command names every field, since a merge patch keeps what it does not name", () => {
  assert.equal(
    kubectl("demo", "demo", withSite(CONNECTED, "client-2", "Uplink", "5m")),
    `kubectl -n demo patch synccluster demo --type merge -p '{"spec":{"partition":{"clients":[2],"server":false,"counters":[],"link":"Uplink","healAfter":"5m"}}}'`,
  );
  assert.equal(
    kubectl("ns", "c", CONNECTED),
    `kubectl -n ns patch synccluster c --type merge -p '{"spec":{"partition":null}}'`,
  );
});

test("a client joins and leaves a cut, and the last one to leave heals it", () => {
  const two = withSite(withSite(CONNECTED, "client-10", "Both", null), "client-2", "Downlink", "30s");
  assert.deepEqual(two, { clients: [2, 10], server: false, counters: [], link: "Downlink", healAfter: "30s" });
  assert.ok(isCut(two, "client-10") && isCut(two, "client-2") && !isCut(two, "client-1") && !isCut(two, "server"));
  const one = withSite(two, "client-2", null, null);
  assert.deepEqual(one.clients, [10]);
  assert.ok(!isHealed(one) && isHealed(withSite(one, "client-10", null, null)));
});

test("who is cut already is told from who is chosen", () => {
  const one = withSite(CONNECTED, "client-2", "Both", null);
  const then = (site: string, link: "Both" | "Uplink" | null, healAfter: string | null) =>
    alsoChanged(one, withSite(one, site, link, healAfter)).filter((other) => other !== site);
  assert.deepEqual(then("client-1", "Both", null), []);
  assert.deepEqual(then("client-1", "Uplink", null), ["client-2"]);
  assert.deepEqual(then("client-1", "Both", "5m"), ["client-2"]);
  assert.deepEqual(then("client-2", "Uplink", "5m"), []);
  assert.deepEqual(then("client-2", null, "5m"), []);
  assert.deepEqual(alsoChanged(CONNECTED, one), []);
  const all = withCounter(withSite(one, "server", "Both", null), 3, true, null);
  assert.deepEqual(alsoChanged(all, { ...all, link: "Uplink" }), ["server", "client-2"]);
  assert.deepEqual(alsoChanged(all, { ...all, healAfter: "30s" }), ["server", "client-2", "counter-3"]);
});

test("the server is cut beside clients", () => {
  const both = withSite(withSite(CONNECTED, "client-1", "Both", null), "server", "Both", null);
  assert.ok(both.server && isCut(both, "server"));
  assert.deepEqual(withSite(both, "server", null, null).clients, [1]);
});

test("what the resource asks for is read, and nobody is cut where it asks for nothing", () => {
  assert.deepEqual(cutOf({ clients: [3, 1], server: true, counters: [2, 0], link: "Downlink", heal_after: "2h" }), {
    clients: [1, 3],
    server: true,
    counters: [0, 2],
    link: "Downlink",
    healAfter: "2h",
  });
  assert.deepEqual(cutOf(null), CONNECTED);
});

test("a counter node is cut beside sites, and healed alone", () => {
  const both = withCounter(withCounter(withSite(CONNECTED, "client-1", "Uplink", "5m"), 2, true, null), 0, true, "30s");
  assert.deepEqual(both, { clients: [1], server: false, counters: [0, 2], link: "Uplink", healAfter: "30s" });
  const one = withCounter(withCounter(both, 0, false, null), 0, false, null);
  assert.deepEqual([one.counters, one.clients, one.healAfter], [[2], [1], "30s"]);
  const alone = withCounter(CONNECTED, 1, true, null);
  assert.ok(!isHealed(alone) && isHealed(withCounter(alone, 1, false, null)));
});

test("a change is made on top of somebody else's where it concerns the same sites", () => {
  const one = withSite(CONNECTED, "client-1", "Both", null);
  const cutTwo = (cut: Cut) => withSite(cut, "client-2", "Both", null);
  const healTwo = (cut: Cut) => withSite(cut, "client-2", null, null);
  assert.deepEqual(others(cutTwo, CONNECTED, one), []);
  assert.deepEqual(cutTwo(one).clients, [1, 2]);
  assert.deepEqual(others(healTwo, cutTwo(CONNECTED), cutTwo(one)), []);
  assert.deepEqual(healTwo(cutTwo(one)).clients, [1]);
  const cutNode = (cut: Cut) => withCounter(cut, 0, true, null);
  assert.deepEqual(others(cutNode, CONNECTED, one), []);
  assert.deepEqual(others(cutTwo, CONNECTED, cutTwo(CONNECTED)), []);
});

test("a change that would concern somebody else by now is not made", () => {
  const two = withSite(CONNECTED, "client-2", "Both", null);
  const both = withSite(two, "client-1", "Both", null);
  assert.deepEqual(
    others(() => CONNECTED, two, both),
    ["client-1"],
  );
  assert.deepEqual(
    others(() => CONNECTED, both, two),
    [],
  );
  const uplink = (cut: Cut) => withSite(cut, "client-2", "Uplink", null);
  assert.deepEqual(others(uplink, two, both), ["client-1"]);
  const forAWhile = withSite(CONNECTED, "client-1", "Both", "5m");
  assert.deepEqual(
    others((cut) => withSite(cut, "client-2", "Both", null), CONNECTED, forAWhile),
    ["client-1"],
  );
});
