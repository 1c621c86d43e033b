//! Writes that lost, with what won, and changes that wait to be applied.

import { reapply } from "../actions/conflicts.ts";
import { look } from "../actions/navigate.ts";
import { readConflicts } from "../actions/refresh.ts";
import type { Conflict } from "../api/types.ts";
import { aloud, button, empty, field, loading, problemBox, select, tag, time, version } from "../dom/parts.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import { formatRoute } from "../model/route.ts";
import { decode } from "../model/version.ts";
import { sides } from "../model/sides.ts";
import type { State } from "../store.ts";
import { away, parkedPanel } from "./parked.ts";

const id = (conflict: { site: string; id: string }): string => `${conflict.site}:${conflict.id}`;
const keyText = (key: Conflict["key"]): string => Object.values(key).map(String).join(" · ");

export function cell(value: unknown): Child {
  if (value === undefined) return h("em.null", null, "not there");
  if (value === null) return h("em.null", null, "null");
  return h("span.value", null, typeof value === "object" ? JSON.stringify(value) : String(value));
}

function sideBySide(conflict: Conflict): VNode {
  const rows = sides(conflict.winner, conflict.loser);
  const side = (name: string, row: Conflict["winner"], of: string): VNode =>
    h("th", { scope: "col" }, name, h("small", null, row === null ? "a delete, " : "", version(of)));
  return h(
    "div.scroll",
    { tabindex: "0", role: "region", "aria-label": `Both sides of conflict ${conflict.id} at ${conflict.site}` },
    h(
      "table.plain.sides",
      null,
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          h("th", { scope: "col" }, "Column"),
          side("Won", conflict.winner, conflict.winner_version),
          side("Lost", conflict.loser, conflict.loser_version),
        ),
      ),
      h(
        "tbody",
        null,
        rows.map(({ column, winner, loser, differs }) =>
          h(
            "tr",
            { key: column, class: differs ? "differs" : "" },
            h(
              "th",
              { scope: "row" },
              differs ? [h("span.sign", { "aria-hidden": "true" }, "≠"), aloud("differs: ")] : null,
              column,
            ),
            h("td", null, cell(winner)),
            h("td", null, cell(loser)),
          ),
        ),
      ),
    ),
  );
}

/** Why there is no button, where there is none. */
function obstacle({ reapplied_at: at, reapply_obstacle: why }: Conflict): Child {
  if (why === null) return null;
  const sign =
    at === null
      ? tag("plain", null, "Cannot be re-applied")
      : [tag("good", "check", "Re-applied", "The losing write was made again."), " ", time(at)];
  return h("p.result", null, sign, " ", why);
}

function result(conflict: Conflict, state: State): Child {
  const done = state.reapplied[id(conflict)];
  if (done?.problem !== undefined) return problemBox(done.problem);
  if (done?.row === undefined) return obstacle(conflict);
  const outcome =
    done.row === null
      ? "The delete was made again."
      : "The losing values were written again as a new change; it travels to every site.";
  const leftOut =
    done.leftOut === undefined || done.leftOut.length === 0
      ? null
      : ` Left out, since the table has no such columns any more or makes them itself: ${done.leftOut.join(", ")}.`;
  return h(
    "p.result",
    { role: "status" },
    tag("good", "check", "Re-applied"),
    " ",
    outcome,
    leftOut,
    " ",
    done.row === null ? null : version(done.row.version),
  );
}

function card(conflict: Conflict, state: State): VNode {
  const [won, lost] = [decode(conflict.winner_version), decode(conflict.loser_version)];
  const title = `${conflict.table} · ${keyText(conflict.key)}`;
  const busy = state.reapplied[id(conflict)]?.busy === true;
  return h(
    "li.conflict",
    { key: id(conflict), "data-conflict": id(conflict) },
    h(
      "header",
      null,
      h(
        "h3",
        null,
        conflict.key_path === null
          ? title
          : h(
              "a",
              {
                href: formatRoute({ view: "sites", query: { table: conflict.table, row: conflict.key_path } }),
                title: "Show the row",
              },
              title,
            ),
      ),
      tag("plain", null, conflict.kind),
      tag("plain", null, conflict.policy),
      h(
        "span.grow",
        null,
        `${won?.site ?? "?"} won over ${lost?.site ?? "?"}, decided at ${conflict.site} `,
        time(conflict.at),
        `, came from ${conflict.topic}`,
      ),
      conflict.reapply_obstacle === null
        ? button(busy ? "Re-applying…" : "Re-apply the loser", {
            edits: true,
            disabled: busy,
            icon: "moving",
            onclick: () => reapply(conflict),
          })
        : null,
    ),
    sideBySide(conflict),
    result(conflict, state),
  );
}

const KINDS = ["insert/insert", "update/update", "update/delete", "delete/update", "unique"];

function filters(state: State): VNode {
  const { site = "", table = "", kind = "" } = state.route.query;
  const all = { value: "", label: "all" };
  const named = (names: readonly string[]): { value: string; label: string }[] => [
    all,
    ...names.map((name) => ({ value: name, label: name })),
  ];
  const chooser = (name: string, label: string, value: string, names: readonly string[]): VNode =>
    field(
      `conflict-${name}`,
      label,
      select(`conflict-${name}`, value, named(names), (chosen) =>
        look({ [name]: chosen, after: undefined, waiting: undefined }),
      ),
    );
  return h(
    "div.toolbar",
    null,
    chooser(
      "site",
      "Site",
      site,
      (state.sites.value ?? []).map((each) => each.name),
    ),
    chooser(
      "table",
      "Table",
      table,
      (state.tables.value ?? []).map((each) => each.name),
    ),
    chooser("kind", "Kind", kind, KINDS),
  );
}

export function conflictsView(state: State): Child {
  const { value, problem } = state.conflicts;
  const next = value?.next ?? null;
  return [
    parkedPanel(state),
    h(
      "section.panel",
      { key: "conflicts", "aria-labelledby": "conflicts" },
      h("header", null, h("h2", { id: "conflicts" }, "Writes that lost")),
      filters(state),
      problemBox(problem, readConflicts),
      away(value),
      value === undefined
        ? problem === undefined
          ? loading("conflicts")
          : null
        : value.conflicts.length === 0
          ? empty(
              "No write has lost",
              "Cut a client, write the same row on both sides and heal: the write that loses is kept here.",
            )
          : h(
              "ul.cards",
              null,
              value.conflicts.map((conflict) => card(conflict, state)),
            ),
      h(
        "footer.paging",
        null,
        state.route.query["after"] === undefined
          ? null
          : button("Newest", { icon: "previous", onclick: () => look({ after: undefined }) }),
        next === null ? null : button("Older", { onclick: () => look({ after: next }) }),
      ),
    ),
  ];
}
