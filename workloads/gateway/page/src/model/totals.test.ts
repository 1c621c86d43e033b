import assert from "node:assert/strict";
import { test } from "node:test";
import { agreement, type Known, sides, type Total } from "./totals.ts";

const knows = (...totals: Total[]) => new Map(totals.map((total) => [total.id, total]));
const tea = (total: number, nodes: Record<string, number>): Total => ({ id: "tea", total, nodes });

test("a node that was cut off says something else, and it is seen", () => {
  const known: Known = {
    0: knows(tea(3, { "0": 2, "1": 1 })),
    1: knows(tea(3, { "0": 2, "1": 1 })),
    2: knows(tea(9, { "2": 9 })),
  };
  assert.deepEqual(
    sides("tea", [0, 1, 2], known).map(({ total, took, differs }) => [total, took, differs]),
    [
      [3, 2, false],
      [3, 1, false],
      [9, 9, true],
    ],
  );
  assert.equal(agreement(["tea"], [0, 1, 2], known), "differ");
  assert.equal(agreement(["tea"], [0, 1], known), "same");
});

test("a node that does not answer neither agrees nor differs", () => {
  const known: Known = { 0: undefined, 1: knows(tea(3, { "1": 3 })) };
  assert.deepEqual(sides("tea", [0, 1], known)[0], { node: 0, total: undefined, took: undefined, differs: false });
  assert.equal(agreement(["tea"], [0, 1], known), "silent");
  assert.equal(agreement([], [], known), "unknown");
  assert.equal(agreement([], [1], known), "same");
});
