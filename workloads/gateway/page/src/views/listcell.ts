//! A table that is a list to tick off: everything it needs of a site's row is a tick and a text.

import { insert, setValues } from "../actions/edit.ts";
import type { Column, Row, SiteName } from "../api/types.ts";
import { aloud, button } from "../dom/parts.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import type { Difference } from "../model/align.ts";
import { type Checklist, insertable } from "../model/shape.ts";
import { mayEdit, say, type State } from "../store.ts";
import { act, cellProps, deleteButton, editor, isEdited, type Place, shown } from "./cell.ts";
import { REASONS, type Shape } from "./gridhead.ts";

export function listCell(
  row: Row,
  site: SiteName,
  { text, done }: Checklist,
  column: Column,
  found: Difference,
  state: State,
): VNode {
  const place: Place = { site, keyPath: row.key_path, column: text };
  const editing = isEdited(state.editing, place) ? state.editing : null;
  const open = (): void => act(place, row, column);
  const other = found.kind === "columns" ? found.columns.join(", ") : REASONS[found.kind];
  const isDone = row.values[done] === true;
  const toggle = (event: Event): void => {
    // Shown as it is until it is written.
    (event.target as HTMLInputElement).checked = isDone;
    void setValues(site, row, { [done]: !isDone });
  };
  const tick = h("input", {
    type: "checkbox",
    tabindex: "-1",
    checked: isDone,
    disabled: !mayEdit(),
    "aria-label": `${String(row.values[text])}, ${done} at ${site}`,
    onclick: (event: Event) => event.stopPropagation(),
    onchange: toggle,
  });
  const content =
    editing === null
      ? h("span.todo", { class: isDone ? "done" : "", onclick: open }, shown(row.values[text]))
      : editor(place, column, editing);
  return h(
    "td.item",
    cellProps(place, state, {
      class: `${found.kind === "same" ? "" : "differs"} ${mayEdit() ? "editable" : ""}`,
      title: other === "" ? null : `differs from the server: ${other}`,
      onact: open,
      "data-done": String(isDone),
      "data-toggle": "",
    }),
    h(
      "div.item-line",
      null,
      found.kind === "same"
        ? null
        : [h("span.sign", { "aria-hidden": "true" }, "≠"), aloud(`differs from the server (${other}): `)],
      tick,
      content,
      editing === null ? deleteButton(site, row) : null,
    ),
  );
}

/** A row is added where its text is all that must be given; otherwise a form asks for the rest. */
export function addRow(shape: Shape, list: Checklist, state: State): Child {
  const { required } = insertable(shape.table);
  if (required.some((column) => column.name !== list.text)) return null;
  const submit = async (site: SiteName, event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const input = (event.target as HTMLFormElement).elements.namedItem("text") as HTMLInputElement;
    const value = input.value;
    const problem = await insert(site, { [list.text]: value });
    if (problem !== undefined) say("failed", `${problem.title}: ${problem.message}`);
    else if (input.value === value) input.value = "";
  };
  return h(
    "tr.add",
    { key: "add" },
    h("td.key", { role: "gridcell" }, aloud("New row")),
    shape.sites.map((site) =>
      h(
        "td",
        { key: site, role: "gridcell" },
        h(
          "form",
          { onsubmit: (event: SubmitEvent) => submit(site, event) },
          h("input", {
            name: "text",
            type: "text",
            autocomplete: "off",
            required: true,
            placeholder: `Add at ${site}`,
            "aria-label": `${list.text} of a new row at ${site}`,
            disabled: !mayEdit() || site in state.grid.unreachable,
          }),
          button(`Add at ${site}`, { type: "submit", icon: "plus", bare: true, tone: "quiet", edits: true }),
        ),
      ),
    ),
  );
}
