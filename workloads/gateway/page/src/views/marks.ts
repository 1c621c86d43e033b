//! A row's way as a strip of marks: filled and ticked is done, dashed is pending, struck through is pending behind a link
//! that is cut, dotted is not known.

import { trail } from "../actions/rows.ts";
import { clock } from "../model/time.ts";
import { hopTitle, type Mark, marks, settled, type Shown, spoken } from "../model/trail.ts";
import { cutOf } from "../model/kubectl.ts";
import type { LiveRow } from "../model/align.ts";
import { aloud } from "../dom/parts.ts";
import { h, type VNode } from "../dom/vdom.ts";
import type { State } from "../store.ts";

const site = (name: string): string => (name === "server" ? "S" : name.replace("client-", ""));
const LETTERS = { captured: "C", in_kafka: "K" } as const;
const STATES = { done: "done", pending: "pending", unknown: "not seen" } as const;

function mark(each: Mark): VNode {
  const letter = each.hop === "local" || each.hop === "applied" ? site(each.site) : LETTERS[each.hop];
  const word = each.cut ? "pending, its link is cut" : STATES[each.state];
  const at = each.at === undefined ? "" : ` ${clock(Date.parse(each.at))}`;
  return h(
    `i.mark.${each.state}.${each.hop}`,
    {
      key: `${each.hop}${each.site}`,
      class: each.cut ? "cut" : "",
      title: `${hopTitle(each)}: ${word}${at}`,
      "aria-hidden": "true",
    },
    letter,
  );
}

export const sitesShown = ({ grid, sites }: State): Shown => ({ sites: grid.sites.length, of: sites.value?.length });

export function strip(row: LiveRow, state: State): VNode {
  const sites = sitesShown(state);
  const all = marks(row, state.grid.sites, state.grid.unreachable, trail, cutOf(state.cluster.value?.partition));
  return h("span.strip", { "data-settled": String(settled(all, sites)) }, all.map(mark), aloud(spoken(all, sites)));
}
