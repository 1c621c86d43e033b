import assert from "node:assert/strict";
import { test } from "node:test";
import type { SiteStatus } from "../api/types.ts";
import { links, sentence } from "./links.ts";

const status = (connectivity: SiteStatus["connectivity"], more: Partial<SiteStatus> = {}): SiteStatus => ({
  name: "client-2",
  connectivity: connectivity ?? {},
  ...more,
});

test("a cut counts as cut only when it was measured", () => {
  assert.equal(links(status({ desired: "Cut", freshDial: "Open", established: "Open" })).word, "Cutting");
  assert.equal(links(status({ desired: "Cut", freshDial: "Blocked", established: "Open" })).word, "Cutting");
  assert.equal(links(status({ desired: "Cut", freshDial: "Blocked", established: "Closed" })).word, "Cut");
  assert.equal(links(status({ desired: "Connected", freshDial: "Blocked" })).word, "Healing");
  assert.equal(links(status({ desired: "Connected", freshDial: "Open" })).word, "Connected");
  assert.equal(links(status({})).word, "Unknown");
});

test("only the way that is cut is drawn so", () => {
  const uplink = links(status({ desired: "UplinkCut" }));
  assert.deepEqual([uplink.uplink.cut, uplink.downlink.cut], [true, false]);
  const downlink = links(status({ desired: "DownlinkCut" }));
  assert.deepEqual([downlink.uplink.cut, downlink.downlink.cut], [false, true]);
});

test("lag that is not known is a question mark, and idle WAL is not behind", () => {
  const unknown = links(status({}));
  assert.deepEqual([unknown.uplink.lag, unknown.downlink.lag], ["?", "?"]);
  assert.equal(links(status({}, { uplink: { lagBytes: 400, lagSeconds: 0 } })).uplink.behind, false);
  assert.equal(links(status({}, { uplink: { lagBytes: 400, lagSeconds: 3 } })).uplink.behind, true);
  assert.equal(links(status({}, { downlink: { lagRecords: 1 } })).downlink.behind, true);
});

test("a site in one sentence", () => {
  const cut = status(
    { desired: "UplinkCut", freshDial: "Blocked", established: "Closed" },
    { uplink: { lagBytes: 2000, lagSeconds: 65 }, downlink: { lagRecords: 0 } },
  );
  assert.equal(sentence(links(cut)), "client-2: cut; uplink cut, 2.0 kB for 1 min 5 s waiting; downlink lag 0 records");
});
