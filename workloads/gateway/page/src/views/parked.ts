//! Changes that wait to be applied.

import { retry } from "../actions/conflicts.ts";
import { look } from "../actions/navigate.ts";
import { readConflicts } from "../actions/refresh.ts";
import type { Book, Parked } from "../api/types.ts";
import { button, problemBox, tag, time } from "../dom/parts.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import type { State } from "../store.ts";

function parkedItem(parked: Parked): VNode {
  const asked = parked.asked_at !== null;
  return h(
    "li.conflict",
    { key: `${parked.site}:${parked.id}` },
    h(
      "header",
      null,
      h("h3", null, parked.table),
      tag("busy", "pending", "Parked"),
      h(
        "span.grow",
        null,
        `at ${parked.site} since `,
        time(parked.at),
        `, from ${parked.topic}, tried `,
        time(parked.tried_at),
      ),
      button(asked ? "Asked" : "Try again", {
        edits: true,
        disabled: asked,
        icon: "moving",
        onclick: () => retry(parked),
      }),
    ),
    h("p.reason", null, parked.reason),
    h(
      "details",
      null,
      h("summary", null, "The event"),
      h("pre", { tabindex: "0" }, JSON.stringify(parked.event, null, 2)),
    ),
  );
}

/** The sites whose books could not be read. */
export function away(book: Book | undefined): Child {
  const sites = Object.entries(book?.unreachable ?? {});
  return sites.length === 0
    ? null
    : h("p.trouble", null, "Not asked: ", sites.map(([site, why]) => `${site} (${why})`).join(", "));
}

export function parkedPanel(state: State): Child {
  const parked = state.parked.value?.parked ?? [];
  const next = state.parked.value?.next ?? null;
  const isFirst = state.route.query["waiting"] === undefined;
  return parked.length === 0 && isFirst && state.parked.problem === undefined
    ? null
    : h(
        "section.panel",
        { key: "parked", "aria-labelledby": "parked" },
        h("header", null, h("h2", { id: "parked" }, "Parked changes")),
        h(
          "p.hint",
          null,
          "Changes that could not be applied so far. They are tried again by themselves, and the stream goes on meanwhile.",
        ),
        problemBox(state.parked.problem, readConflicts),
        away(state.parked.value),
        h("ul.cards", null, parked.map(parkedItem)),
        isFirst && next === null
          ? null
          : h(
              "footer.paging",
              null,
              h("p", { role: "status" }, `${parked.length} shown`),
              isFirst ? null : button("Newest", { icon: "previous", onclick: () => look({ waiting: undefined }) }),
              next === null ? null : button("Older", { onclick: () => look({ waiting: next }) }),
            ),
      );
}
