//! The windows of an id as bars that move.

import { chosen } from "../actions/counters.ts";
import { empty, loading, problemBox } from "../dom/parts.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import { type Bar, BARS, bars, drawn, WINDOWS } from "../model/windows.ts";
import type { State } from "../store.ts";

const WIDTH = 240;
const HEIGHT = 80;
const STEP = WIDTH / BARS;
const GAP = 4;

const clock = (at: number): string =>
  new Date(at).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });

const said = ({ start, count, late }: Bar): string =>
  `${clock(start)}: ${count}${late === 0 ? "" : ` and ${late} late`}`;

function chart(minutes: number, series: readonly Bar[], id: string, isComplete: boolean): VNode {
  const name = minutes === 1 ? "1 minute" : `${minutes} minutes`;
  const current = series.at(-1)?.count ?? 0;
  const late = series.reduce((sum, bar) => sum + bar.late, 0);
  const { zero, bars: places } = drawn(
    series.map(({ count }) => count),
    HEIGHT,
  );
  const rect = ({ start, current: now }: Bar, index: number): VNode => {
    const { y, height } = places[index] ?? { y: HEIGHT, height: 0 };
    return h(
      "rect",
      { key: String(start), class: now ? "now" : "", x: index * STEP + GAP / 2, y, width: STEP - GAP, height },
      h("title", null, said(series[index] as Bar)),
    );
  };
  return h(
    "figure.chart",
    { key: String(minutes), "data-window": `${minutes}m`, "data-current": current },
    h(
      "figcaption",
      null,
      h("strong", null, name),
      " ",
      h("span.now", null, isComplete ? `${current} now` : "not all read yet"),
    ),
    h(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT + 1}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `Likes of ${id} in windows of ${name}, oldest first: ${series.map(said).join("; ")}`,
      },
      h("line", { x1: 0, x2: WIDTH, y1: zero + 0.5, y2: zero + 0.5 }),
      series.map(rect),
    ),
    h(
      "div.axis",
      { "aria-hidden": "true" },
      h("span", null, clock(series[0]?.start ?? 0)),
      h("span", null, late === 0 ? "" : `${late} late`),
      h("span", null, clock(series.at(-1)?.start ?? 0)),
    ),
  );
}

export function charts(state: State): Child {
  const id = chosen();
  if (id === undefined) return null;
  const { value, problem } = state.windows;
  const shown = value?.id === id ? value : undefined;
  return h(
    "section.panel",
    { key: "windows", "aria-labelledby": "windows", "data-windows-of": shown?.id },
    h("header", null, h("h2", { id: "windows" }, `Windows of ${id}`)),
    problemBox(problem),
    shown === undefined
      ? problem === undefined
        ? loading("the windows")
        : null
      : Object.keys(shown.series).length === 0
        ? empty("No windows of 1, 5 or 10 minutes", "spec.counter.windows has none of them.")
        : h(
            "div.charts",
            null,
            WINDOWS.filter(({ name }) => name in shown.series).map(({ name, minutes }) => {
              const counted = bars(shown.series[name] ?? [], minutes, state.now + shown.skew);
              return chart(minutes, counted, id, shown.complete.includes(name));
            }),
          ),
    h("p.hint", null, "By the time of each like, as Kafka has it; what came after its window was final is late."),
  );
}
