import assert from "node:assert/strict";
import { test } from "node:test";
import { type Aggregation, BARS, bars, drawn, merge } from "./windows.ts";

const MINUTE = 60_000;
const counted = (minute: number, count: number, late = 0): Aggregation => ({
  id: "tea",
  window_start: minute * MINUTE,
  window_end: (minute + 1) * MINUTE,
  count,
  late,
  updated_at: 0,
  final: false,
});

test("a window that changes takes its own place, and the oldest go", () => {
  let windows = merge(merge([], counted(2, 1)), counted(1, 5));
  windows = merge(windows, counted(2, 7));
  assert.deepEqual(
    windows.map(({ count }) => count),
    [5, 7],
  );
  for (let minute = 3; minute < 100; minute++) windows = merge(windows, counted(minute, minute));
  assert.equal(windows.length, 2 * BARS);
  assert.equal(windows.at(-1)?.count, 99);
});

test("the bars end with the window that has this moment, and move with it", () => {
  const windows = [counted(98, 3), counted(100, 4, 2)];
  const at = (now: number) => bars(windows, 1, now).map(({ count }) => count);
  assert.deepEqual(at(100 * MINUTE).slice(-3), [3, 0, 4]);
  assert.deepEqual(at(101 * MINUTE - 1).slice(-3), [3, 0, 4]);
  assert.deepEqual(at(101 * MINUTE).slice(-4), [3, 0, 4, 0]);
  const last = bars(windows, 1, 100 * MINUTE).at(-1);
  assert.deepEqual([last?.late, last?.current, last?.start], [2, true, 100 * MINUTE]);
  assert.equal(bars([], 10, 0).length, BARS);
});

test("bars stand on zero, and those below it hang from it", () => {
  assert.deepEqual(drawn([10, 5, 0], 100), {
    zero: 100,
    bars: [
      { y: 0, height: 100 },
      { y: 50, height: 50 },
      { y: 100, height: 0 },
    ],
  });
  assert.deepEqual(drawn([10, -10], 100), {
    zero: 50,
    bars: [
      { y: 0, height: 50 },
      { y: 50, height: 50 },
    ],
  });
  assert.deepEqual(drawn([0, 0], 100).bars, [
    { y: 100, height: 0 },
    { y: 100, height: 0 },
  ]);
});
