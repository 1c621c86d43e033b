import assert from "node:assert/strict";
import { test } from "node:test";
import { agreement, firstIds, type Known, sides, together, type Total } from "./totals.ts";

const knows = (...totals: Total[]) => new Map(totals.map((total) => [total.id, total]));
const has = (id: string, nodes: Record<string, number>): Total => ({
  id,
  total: Object.values(nodes).reduce((sum, took) => sum + took, 0),
  nodes,
});

test("a node that was cut off says something else, and together they know everything", () => {
  const majority = knows(has("tea", { "0": 2, "1": 1, "2": 4 }));
  const known: Known = { 0: majority, 1: majority, 2: knows(has("tea", { "0": 1, "2": 9 })) };
  assert.deepEqual(
    sides("tea", [0, 1, 2], known).map(({ total, took, differs }) => [total, took, differs]),
    [
      [7, 2, false],
      [7, 1, false],
      [10, 9, true],
    ],
  );
  assert.equal(together("tea", known), 12);
  assert.equal(agreement(["tea"], [0, 1, 2], known), "differ");
  assert.equal(agreement(["tea"], [0, 1], known), "same");
});

test("an id that a node has not heard of has nothing there", () => {
  const known: Known = { 0: knows(), 1: knows(has("new", { "1": 3 })) };
  assert.deepEqual(
    sides("new", [0, 1], known).map(({ total, differs }) => [total, differs]),
    [
      [0, false],
      [3, true],
    ],
  );
  assert.equal(together("new", known), 3);
  assert.equal(together("other", known), 0);
});

test("a node that does not answer neither agrees nor differs, and others speak for it", () => {
  const known: Known = {
    0: undefined,
    1: knows(has("tea", { "0": 5, "1": 3 })),
    2: knows(has("tea", { "0": 4, "1": 3 })),
  };
  assert.deepEqual(sides("tea", [0, 1], known)[0], { node: 0, total: undefined, took: undefined, differs: false });
  assert.equal(together("tea", known), 8);
  assert.equal(agreement(["tea"], [0, 1], known), "silent");
  assert.equal(agreement([], [], known), "unknown");
  assert.equal(agreement([], [1], known), "same");
});

test("a page has the first ids of all nodes, in the nodes' order", () => {
  const known: Known = {
    0: knows(has("b", {}), has("d", {})),
    1: knows(has("a", {}), has("b", {})),
    2: undefined,
  };
  assert.deepEqual(firstIds(known, 3), ["a", "b", "d"]);
  assert.deepEqual(firstIds(known, 2), ["a", "b"]);
  const wide: Known = { 0: knows(has("\u{1F375}", {}), has("\uFF01", {}), has("a", {}), has("ab", {})) };
  assert.deepEqual(firstIds(wide, 9), ["a", "ab", "\uFF01", "\u{1F375}"]);
});
