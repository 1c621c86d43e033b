//! Who has read how far.

import { look } from "../actions/navigate.ts";
import { readTopics } from "../actions/refresh.ts";
import type { Group } from "../api/types.ts";
import { aloud, empty, heading, loading, problemBox } from "../dom/parts.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import type { State } from "../store.ts";

/** Of all it reads together. */
function total({ lag, lag_unknown: why }: Group): Child {
  if (lag === undefined) return h("span", { title: why }, "?", aloud(`not known: ${why ?? "nobody said why"}`));
  return lag === "0" ? "0" : h("strong", null, lag);
}

function offsets(group: Group, state: State): Child {
  if (group.group !== state.route.query["group"] || group.offsets === undefined) return null;
  const row = (each: NonNullable<Group["offsets"]>[number]): VNode => {
    const behind = each.lag ?? "?";
    return h(
      "tr",
      { key: `${each.topic}${each.partition}` },
      h("th", { scope: "row" }, `${each.topic} / ${each.partition}`),
      h("td.number", null, each.offset ?? "none"),
      h("td.number", null, each.end ?? "?"),
      h("td.number", null, behind === "0" ? "0" : h("strong", null, behind)),
    );
  };
  return h(
    "tr.lag",
    { key: `${group.group} lag` },
    h(
      "td",
      { colspan: 5 },
      h(
        "table.plain",
        null,
        h("thead", null, h("tr", null, ["Topic / partition", "Read to", "End", "Lag"].map(heading))),
        h("tbody", null, group.offsets.map(row)),
      ),
    ),
  );
}

export function groups(state: State): Child {
  const { value, problem } = state.groups;
  const row = (group: Group): Child => {
    const open = state.route.query["group"] === group.group;
    return [
      h(
        "tr",
        { key: group.group },
        h(
          "th",
          { scope: "row" },
          h(
            "button.link",
            {
              type: "button",
              "aria-expanded": String(open),
              onclick: () => look({ group: open ? undefined : group.group }, true),
            },
            group.group,
          ),
        ),
        h("td", null, group.kind),
        h("td", null, group.state),
        h("td.number", null, String(group.members)),
        h("td.number", null, total(group)),
      ),
      offsets(group, state),
    ];
  };
  return h(
    "section.panel",
    { "aria-labelledby": "groups" },
    h("header", null, h("h2", { id: "groups" }, "Groups and their lag")),
    problemBox(problem, readTopics),
    value === undefined
      ? problem === undefined
        ? loading("the groups")
        : null
      : value.length === 0
        ? empty("Nobody reads", "Consumer groups and sinks appear here.")
        : h(
            "div.scroll",
            { tabindex: "0", role: "region", "aria-label": "List of groups" },
            h(
              "table.plain.things",
              null,
              h("thead", null, h("tr", null, ["Group", "Kind", "State", "Members", "Lag"].map(heading))),
              h("tbody", null, value.map(row)),
            ),
          ),
  );
}
