//! One row in full: its way with times, and what every site holds of it. Opened by the address, so that a link shows it.

import { look } from "../actions/navigate.ts";
import { reached, rowAt, table } from "../actions/rows.ts";
import type { Hop, SiteName } from "../api/types.ts";
import { aloud, button, empty, modal, problemBox, tag, time, type Tone, version } from "../dom/parts.ts";
import type { IconName } from "../dom/icons.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import { difference, differs, type LiveRow, versionAt } from "../model/align.ts";
import { and, equals } from "../model/filter.ts";
import { shownKey } from "../model/key.ts";
import { duration } from "../model/time.ts";
import { hopTitle } from "../model/trail.ts";
import type { State } from "../store.ts";
import { shown } from "./cell.ts";

const STATES: Record<Hop["state"], readonly [Tone, IconName, string]> = {
  done: ["good", "check", "done"],
  pending: ["busy", "pending", "pending"],
  unknown: ["plain", "unknown", "not known"],
};

const CUT: (typeof STATES)["pending"] = ["cut", "cut", "pending, its link is cut"];

function way(state: State): Child {
  const { value, problem, loading } = state.way;
  if (value === undefined)
    return problem === undefined ? h("p.loading", null, loading ? "Reading its way…" : "") : problemBox(problem);
  const start = value.hops.find(({ hop }) => hop === "local")?.at;
  const hop = (each: Hop): VNode => {
    const isCut = each.state === "pending" && each.detail === "cut";
    const [tone, sign, word] = isCut ? CUT : STATES[each.state];
    const detail = each.state === "pending" ? null : (each.detail ?? null);
    const after =
      each.at !== null && start !== null && start !== undefined && each.hop !== "local"
        ? `+${duration(Date.parse(each.at) - Date.parse(start))}`
        : "";
    return h(
      "li",
      { key: `${each.hop}${each.site}`, class: each.state },
      tag(tone, sign, word),
      h("span.grow", null, hopTitle(each), detail === null ? null : h("small", null, detail)),
      h("span.after", null, after),
      time(each.at, { fractions: true }),
    );
  };
  return [
    h(
      "p",
      null,
      value.settled
        ? tag("good", "check", "Settled", "Every site has this version.")
        : tag("busy", "moving", "On its way"),
      " ",
      version(value.version),
    ),
    h("ol.way", null, value.hops.map(hop)),
  ];
}

function versions(row: LiveRow, sites: readonly SiteName[], state: State): VNode {
  const found = new Map(sites.map((site) => [site, difference(row, site, sites)]));
  const columns = table(state)?.columns ?? [];
  const filterBy = (column: string, site: SiteName): void => {
    const cell = row.cells[site]?.values[column];
    if (cell !== undefined)
      look({ filter: and(state.route.query["filter"], equals(column, cell)), row: undefined, after: undefined });
  };
  const value = (site: SiteName, column: string): VNode => {
    const here = row.cells[site] ?? null;
    const marked = differs(found.get(site) ?? { kind: "same" }, column);
    const content =
      here === null
        ? h("em.null", null, "no row")
        : [
            marked ? [h("span.sign", { "aria-hidden": "true" }, "≠"), aloud("differs: ")] : null,
            shown(here.values[column]),
            button(`Filter by this value of ${column}`, {
              icon: "next",
              bare: true,
              tone: "quiet",
              onclick: () => filterBy(column, site),
            }),
          ];
    return h("td", { key: site, class: marked ? "differs" : "" }, content);
  };
  return h(
    "div.scroll",
    { tabindex: "0", role: "region", "aria-label": "What every site holds" },
    h(
      "table.plain",
      null,
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          h("th", { scope: "col" }, "Column"),
          sites.map((site) => h("th", { key: site, scope: "col" }, site)),
        ),
      ),
      h(
        "tbody",
        null,
        columns.map((column) =>
          h(
            "tr",
            { key: column.name },
            h("th", { scope: "row" }, column.name, h("small", null, column.type)),
            sites.map((site) => value(site, column.name)),
          ),
        ),
        h(
          "tr",
          { key: "written" },
          h("th", { scope: "row" }, "written"),
          sites.map((site) => h("td", { key: site }, version(versionAt(row, site)))),
        ),
        h(
          "tr",
          { key: "parent" },
          h("th", { scope: "row" }, "replaced"),
          sites.map((site) => h("td", { key: site }, version(row.cells[site]?.parent))),
        ),
      ),
    ),
  );
}

export function rowDetails(state: State): Child {
  const keyPath = state.route.query["row"];
  if (keyPath === undefined) return null;
  const row = rowAt(keyPath);
  return modal(
    "row",
    `Row ${shownKey(keyPath)} of ${table(state)?.name ?? ""}`,
    () => look({ row: undefined }, true),
    h("h3", null, "Its way"),
    way(state),
    h("h3", null, "At every site"),
    row === undefined
      ? state.grid.loading
        ? null
        : empty("Not among the rows that are shown", "It was deleted, or it is on another page or behind the filter.")
      : versions(row, reached(state), state),
  );
}
