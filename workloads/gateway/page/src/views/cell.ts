//! One cell: a value as it is read, and the field it becomes while it is changed.

import { edit, given, remove, saveCell, setValues, stopEditing } from "../actions/edit.ts";
import type { Cell, Column, Row, SiteName } from "../api/types.ts";
import { aloud, button } from "../dom/parts.ts";
import { icon } from "../dom/icons.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import { choices, isBoolean, isLong, isNumeric, isText, locked } from "../model/shape.ts";
import { text } from "../model/key.ts";
import { type Editing, mayEdit, type State } from "../store.ts";

export interface Place {
  readonly site: SiteName;
  readonly keyPath: string;
  readonly column: string;
}

export const placeId = (place: Place): string => `${place.keyPath} ${place.site} ${place.column}`;

/** What the grid's keyboard needs to know of a cell; `data-act` says what Enter does. */
export function cellProps(place: Place, state: State, more: Record<string, unknown> = {}): Record<string, unknown> {
  const id = placeId(place);
  return {
    key: `${place.site} ${place.column}`,
    role: "gridcell",
    "data-site": place.site,
    "data-key": place.keyPath,
    "data-column": place.column,
    tabindex: state.active === id ? "0" : "-1",
    ...more,
  };
}

export function shown(value: Cell | undefined): Child {
  if (value === undefined) return null;
  if (value === null) return h("em.null", null, "null");
  if (typeof value === "boolean") return h(`span.bool.${value}`, null, icon(value ? "check" : "close"), String(value));
  const all = text(value);
  return h("span.value", { title: all.length > 24 ? all : null }, all === "" ? h("em.null", null, "empty") : all);
}

export function isEdited(editing: Editing | null, place: Place): editing is Editing {
  return (
    editing !== null &&
    editing.site === place.site &&
    editing.keyPath === place.keyPath &&
    editing.column === place.column
  );
}

/** Begins with a boolean by turning it, with anything else by opening a field. */
export function act(place: Place, row: Row, column: Column): void {
  if (!mayEdit() || locked(column) !== undefined) return;
  const value = row.values[column.name];
  if (isBoolean(column) && typeof value === "boolean" && !column.nullable)
    void setValues(place.site, row, { [column.name]: !value });
  else edit(place.site, place.keyPath, column.name);
}

/** A value in the grid. */
export function valueCell(place: Place, row: Row, column: Column, differs: boolean, state: State): VNode {
  const value = row.values[column.name];
  const why = locked(column);
  const editing = isEdited(state.editing, place) ? state.editing : null;
  const classes = [
    differs ? "differs" : "",
    why === undefined && mayEdit() ? "editable" : "",
    isNumeric(column) ? "number" : "",
    editing === null ? "" : "editing",
  ]
    .filter(Boolean)
    .join(" ");
  const props = cellProps(place, state, {
    class: classes,
    title: why ?? null,
    "aria-readonly": String(why !== undefined || !mayEdit()),
    onclick: editing === null ? () => act(place, row, column) : null,
    onact: () => act(place, row, column),
  });
  return h("td", props, editing === null ? [differs ? mark() : null, shown(value)] : editor(place, column, editing));
}

export function mark(): Child {
  return [h("span.sign", { title: "differs from the server", "aria-hidden": "true" }, "≠"), aloud("differs: ")];
}

function onKey(column: Column, multiline: boolean): (event: KeyboardEvent) => void {
  return (event) => {
    event.stopPropagation();
    if (event.key === "Escape") stopEditing();
    else if (event.key === "Enter" && (!multiline || event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void saveCell(column, given(event.target as HTMLInputElement));
    }
  };
}

const focus = (element: Element): void => {
  (element as HTMLElement).focus();
  if (element instanceof HTMLInputElement) element.select();
};

export function editor(place: Place, column: Column, editing: Editing): VNode {
  const label = `${column.name} of row ${place.keyPath} at ${place.site}`;
  // What it began with, whatever arrives meanwhile: a change of it would replace what is being typed.
  const begun = text(editing.begun);
  const multiline = isLong(column) || begun.includes("\n");
  const common = {
    "aria-label": label,
    "aria-invalid": editing.problem === undefined ? null : "true",
    disabled: editing.saving,
    ref: focus,
    onkeydown: onKey(column, multiline),
  };
  const among = choices(column);
  const control =
    among !== undefined
      ? h(
          "select",
          { ...common, value: begun, key: "select" },
          column.nullable && !among.includes("") ? h("option", { value: "" }, "null") : null,
          among.map((choice) => h("option", { value: choice }, choice)),
        )
      : multiline
        ? h("textarea", { ...common, rows: 3, value: begun, key: "area" })
        : h("input", {
            ...common,
            type: "text",
            value: begun,
            key: "input",
            autocomplete: "off",
            placeholder: editing.begun === null ? "null" : null,
            inputmode: isNumeric(column) ? "decimal" : null,
          });
  const save = (event: Event): void => {
    const fields = (event.currentTarget as HTMLElement).closest(".editor");
    const field = fields?.querySelector<HTMLInputElement>("input, select, textarea");
    if (field !== null && field !== undefined) void saveCell(column, given(field));
  };
  return h(
    "div.editor",
    { key: "editor", onclick: (event: Event) => event.stopPropagation() },
    control,
    h(
      "div.editor-actions",
      null,
      button("Save", {
        icon: "check",
        bare: true,
        tone: "primary",
        disabled: editing.saving,
        onclick: save,
      }),
      column.nullable
        ? button("null", {
            tone: "quiet",
            title: "Save null",
            disabled: editing.saving,
            onclick: () => saveCell(column, null),
          })
        : null,
      editing.begun === null && isText(column)
        ? button("empty", {
            tone: "quiet",
            title: "Save an empty text",
            disabled: editing.saving,
            onclick: () => saveCell(column, ""),
          })
        : null,
      button("Cancel", { icon: "close", bare: true, tone: "quiet", onclick: stopEditing }),
    ),
    editing.problem === undefined ? null : h("p.trouble", { role: "alert" }, editing.problem.message),
  );
}

export function deleteButton(site: SiteName, row: Row): Child {
  return (
    mayEdit() &&
    button(`Delete this row at ${site}`, {
      icon: "trash",
      bare: true,
      tone: "quiet",
      tabindex: "-1",
      class: "delete",
      onclick: (event: Event) => {
        event.stopPropagation();
        remove(site, row);
      },
    })
  );
}
