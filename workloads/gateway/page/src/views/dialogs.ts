//! Questions: somebody else changed the row, or what a conflict left of it; what to insert; whether to delete.

import { reapply } from "../actions/conflicts.ts";
import { insert, removeNow, setValues } from "../actions/edit.ts";
import { table } from "../actions/rows.ts";
import type { Cell, Column, Row, Values } from "../api/types.ts";
import { button, closeModal, field, modal, problemBox, select, version } from "../dom/parts.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import { shownKey } from "../model/key.ts";
import { asFound } from "../model/precondition.ts";
import { choices, insertable, isLong, isText, makesItself, typed } from "../model/shape.ts";
import { sides } from "../model/sides.ts";
import { type Dialog, drawNow, set, type State } from "../store.ts";
import { shown } from "./cell.ts";
import { cell } from "./conflicts.ts";

type Of<K extends Dialog["kind"]> = Extract<Dialog, { kind: K }>;
const closed = (): void => set({ dialog: null });

/** Takes the dialog out at once: what comes of the write may open it again before the next frame. */
function answered(): void {
  closeModal();
  closed();
  drawNow();
}

/** Columns with what would be written, and what is there now. */
function beside(mine: string, lines: readonly (readonly [string, Child, Child])[]): VNode {
  return h(
    "table.plain",
    null,
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        ["Column", mine, "There now"].map((name) => h("th", { key: name, scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      null,
      lines.map(([column, value, now]) =>
        h("tr", { key: column }, h("th", { scope: "row" }, column), h("td", null, value), h("td", null, now)),
      ),
    ),
  );
}

function changedSince({ site, keyPath, mine, current }: Of<"changed-since">): VNode {
  const write = (): void => {
    answered();
    void setValues(site, current, mine as Record<string, Cell>);
  };
  return modal(
    "changed",
    "This row was changed meanwhile",
    closed,
    h(
      "p",
      null,
      `Row ${shownKey(keyPath)} at ${site} is not the row you began to change: it was written again `,
      version(current.version),
      ". Which value shall it have?",
    ),
    beside(
      "Yours",
      Object.entries(mine).map(([name, value]) => [name, shown(value), shown(current.values[name])]),
    ),
    h(
      "div.actions",
      null,
      button("Write mine", { tone: "primary", edits: true, onclick: write }),
      button("Keep what is there", { onclick: closeModal }),
    ),
  );
}

/** What became of the row since the conflict, and what the loser would make of it. */
function sinceDecided(current: Row | null, loser: Record<string, unknown> | null): Child {
  const again = loser === null ? "Shall it be deleted all the same?" : "Shall the losing values replace it?";
  if (current !== null) return [" was written again ", version(current.version), `. ${again}`];
  return loser === null
    ? " was deleted meanwhile, as the losing write wanted. Shall the conflict be marked as re-applied?"
    : " was deleted meanwhile. Shall the losing values make it again?";
}

function overtaken({ conflict, current }: Of<"overtaken">): VNode {
  const { site, table: name, key, loser } = conflict;
  const write = (): void => {
    answered();
    void reapply(conflict, asFound(current));
  };
  return modal(
    "changed",
    "This row was changed meanwhile",
    closed,
    h(
      "p",
      null,
      `Row ${Object.values(key).map(String).join(", ")} of ${name} at ${site}`,
      " is not what the conflict shows: it",
      sinceDecided(current, loser),
    ),
    beside(
      "Lost",
      sides(current?.values ?? null, loser).map((side) => [side.column, cell(side.loser), cell(side.winner)]),
    ),
    h(
      "div.actions",
      null,
      button("Re-apply all the same", { tone: "primary", edits: true, onclick: write }),
      button("Keep what is there", { onclick: closeModal }),
    ),
  );
}

function control(column: Column): VNode {
  const id = `insert-${column.name}`;
  const optional = column.nullable || makesItself(column);
  const among = choices(column);
  const leave =
    column.default !== null
      ? `default: ${column.default}`
      : makesItself(column)
        ? "made by the database"
        : column.nullable
          ? "null"
          : isText(column)
            ? "an empty text"
            : "";
  const input =
    among !== undefined
      ? h(
          "select",
          { id, name: column.name },
          optional ? h("option", { value: "" }, leave) : null,
          among.map((choice) => h("option", { value: choice }, choice)),
        )
      : isLong(column)
        ? h("textarea", { id, name: column.name, rows: 3, placeholder: leave, required: !optional })
        : h("input", {
            id,
            name: column.name,
            type: "text",
            autocomplete: "off",
            placeholder: leave,
            // An empty text is a text.
            required: !optional && !isText(column),
          });
  return field(id, `${column.name}`, input, { hint: column.type });
}

function insertForm(dialog: Of<"insert">, state: State): Child {
  const chosen = table(state);
  if (chosen === undefined) return null;
  const { required, optional } = insertable(chosen);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const given = new FormData(event.target as HTMLFormElement);
    const all = [...required, ...optional];
    // What is left empty is left to the database, unless it has to be given.
    const values: Values = Object.fromEntries(
      all
        .map((column) => [column, String(given.get(column.name) ?? "")] as const)
        .filter(([column, text]) => text !== "" || required.includes(column))
        .map(([column, text]) => [column.name, typed(column, text)]),
    );
    set({ dialog: { kind: "insert", site: dialog.site, saving: true } });
    const problem = await insert(dialog.site, values);
    if (problem === undefined) closeModal();
    else set({ dialog: { kind: "insert", site: dialog.site, saving: false, problem } });
  };
  const sites = (state.sites.value ?? []).map(({ name }) => ({ value: name, label: name }));
  return modal(
    "insert",
    `Insert into ${chosen.name}`,
    closed,
    h(
      "form",
      { onsubmit: submit },
      field(
        "insert-site",
        "At",
        select("insert-site", dialog.site, sites, (site) => set({ dialog: { ...dialog, site } })),
      ),
      required.map(control),
      optional.map(control),
      problemBox(dialog.problem),
      h(
        "div.actions",
        null,
        button(dialog.saving ? "Inserting…" : `Insert at ${dialog.site}`, {
          type: "submit",
          tone: "primary",
          edits: true,
          disabled: dialog.saving,
        }),
        button("Cancel", { onclick: closeModal }),
      ),
    ),
  );
}

function deleteForm({ site, row }: Of<"delete">): VNode {
  const run = (): void => {
    closeModal();
    void removeNow(site, row);
  };
  return modal(
    "delete",
    `Delete row ${shownKey(row.key_path)} at ${site}?`,
    closed,
    h(
      "p",
      null,
      "The delete travels to every site. It cannot be undone here, since only the database gives this table its keys.",
    ),
    h(
      "div.actions",
      null,
      button("Delete", { tone: "danger", edits: true, icon: "trash", onclick: run }),
      button("Cancel", { onclick: closeModal }),
    ),
  );
}

export function dialogs(state: State): Child {
  const { dialog } = state;
  if (dialog === null) return null;
  if (dialog.kind === "changed-since") return changedSince(dialog);
  if (dialog.kind === "overtaken") return overtaken(dialog);
  return dialog.kind === "insert" ? insertForm(dialog, state) : deleteForm(dialog);
}
