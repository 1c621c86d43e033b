//! What windows count, as bars that stand side by side. Pure.

export type WindowName = "1m" | "5m" | "10m";

export interface Aggregation {
  readonly id: string;
  readonly window_start: number;
  readonly window_end: number;
  readonly count: number;
  readonly late: number;
  readonly updated_at: number;
  readonly final: boolean;
}

export const WINDOWS: readonly { readonly name: WindowName; readonly minutes: number }[] = [
  { name: "1m", minutes: 1 },
  { name: "5m", minutes: 5 },
  { name: "10m", minutes: 10 },
];

/** Bars of a chart. */
export const BARS = 12;

export interface Bar {
  readonly start: number;
  readonly count: number;
  readonly late: number;
  /** The window that has this moment. */
  readonly current: boolean;
}

/** The windows with this one as it is now, in their order; the oldest go. */
export function merge(windows: readonly Aggregation[], changed: Aggregation): readonly Aggregation[] {
  const others = windows.filter(({ window_start: start }) => start !== changed.window_start);
  return [...others, changed].sort((a, b) => a.window_start - b.window_start).slice(-2 * BARS);
}

/** The last bars up to the one that has this moment; a window in which nothing was counted has none of its height. */
export function bars(windows: readonly Aggregation[], minutes: number, now: number): readonly Bar[] {
  const size = minutes * 60_000;
  const last = Math.floor(now / size) * size;
  const known = new Map(windows.map((window) => [window.window_start, window]));
  return Array.from({ length: BARS }, (_, index) => {
    const start = last - (BARS - 1 - index) * size;
    const { count = 0, late = 0 } = known.get(start) ?? {};
    return { start, count, late, current: start === last };
  });
}

export interface Drawn {
  readonly y: number;
  readonly height: number;
}

/** Where bars stand in a chart of this height: all of them on one line, those below zero hanging from it. */
export function drawn(
  values: readonly number[],
  height: number,
): { readonly zero: number; readonly bars: readonly Drawn[] } {
  const top = Math.max(0, ...values);
  const bottom = Math.min(0, ...values);
  const unit = top === bottom ? 0 : height / (top - bottom);
  const zero = unit === 0 ? height : top * unit;
  return {
    zero,
    bars: values.map((value) => ({ y: zero - Math.max(0, value) * unit, height: Math.abs(value) * unit })),
  };
}
