import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cluster, SiteStatus } from "../api/types.ts";
import type { Child, VNode } from "../dom/vdom.ts";

// What the page knows begins with its address, and node has none.
Object.assign(globalThis, { location: { hash: "" } });
const { topology } = await import("./topology.ts");
const { state } = await import("../store.ts");

const SITES: readonly SiteStatus[] = [
  {
    name: "client-1",
    uplink: { lagBytes: 2_000_000, lagSeconds: 65 },
    downlink: { lagRecords: 12, lagSeconds: 0 },
  },
  { name: "client-2", uplink: { lagBytes: 400, lagSeconds: 0 }, downlink: { lagRecords: 0, lagSeconds: 0 } },
  { name: "client-3", connectivity: { desired: "UplinkCut" }, uplink: { lagBytes: 2000 }, downlink: {} },
];

function* nodes(child: Child): Generator<VNode> {
  if (Array.isArray(child)) for (const each of child) yield* nodes(each);
  else if (typeof child === "object" && child !== null) {
    yield child;
    for (const each of child.children) yield* nodes(each);
  }
}

const isA = (node: VNode, name: string): boolean =>
  String(node.props["class"] ?? "")
    .split(" ")
    .includes(name);

/** Of each edge of a site: how it is drawn, its head, the strokes across it, and what stands beside it. */
function drawn(site: string, narrow: boolean): unknown[] {
  const value = { sites: SITES } as unknown as Cluster;
  const picture = topology({ ...state, narrow, cluster: { loading: false, value } });
  const group = [...nodes(picture)].find(({ tag, props }) => tag === "g" && props["data-site"] === site);
  const edges = [...nodes(group)].filter((node) => isA(node, "edge"));
  return edges.map((edge) => {
    const inside = [...nodes(edge)];
    return [
      edge.props["class"],
      inside.map(({ props }) => props["marker-end"]).find((head) => typeof head === "string"),
      inside.filter((node) => isA(node, "bar")).length,
      ...inside.filter((node) => isA(node, "lag")).flatMap(({ children }) => children),
    ];
  });
}

test("an edge is drawn by what waits at it, with how much and since when", () => {
  assert.deepEqual(drawn("client-1", false), [
    ["edge behind", "url(#head-behind)", 0, "2.0 MB", "1 min 5 s"],
    ["edge behind", "url(#head-behind)", 0, "12"],
  ]);
  assert.deepEqual(drawn("client-2", false), [
    ["edge idle", "url(#head)", 0, "400 B"],
    ["edge idle", "url(#head)", 0, "0"],
  ]);
});

test("an edge that is cut has two strokes across, and what is not known is a question mark", () => {
  assert.deepEqual(drawn("client-3", false), [
    ["edge cut", "url(#head-cut)", 2, "cut", "2.0 kB"],
    ["edge idle", "url(#head)", 0, "?"],
  ]);
});

test("on a phone the same stands in one line", () => {
  assert.deepEqual(drawn("client-1", true), [
    ["edge behind", "url(#head-behind)", 0, "2.0 MB · 1 min 5 s"],
    ["edge behind", "url(#head-behind)", 0, "12"],
  ]);
  assert.deepEqual(drawn("client-3", true)[0], ["edge cut", "url(#head-cut)", 2, "cut · 2.0 kB"]);
});
