//! The rows of all sites side by side, aligned by key: as a grid of all columns, or as a list to tick off.

import { insert, setValues } from "../actions/edit.ts";
import { look } from "../actions/navigate.ts";
import { reached } from "../actions/rows.ts";
import type { Column, Row, SiteName, Table } from "../api/types.ts";
import { aloud, button, tag } from "../dom/parts.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import { type Difference, difference, differs, type LiveRow } from "../model/align.ts";
import { shownKey } from "../model/key.ts";
import { links } from "../model/links.ts";
import { type Checklist, insertable } from "../model/shape.ts";
import { mayEdit, say, set, type State } from "../store.ts";
import { act, cellProps, deleteButton, editor, isEdited, mark, type Place, placeId, shown, valueCell } from "./cell.ts";
import { onGridFocus, onGridKey } from "./gridkeys.ts";
import { strip } from "./marks.ts";

interface Shape {
  readonly table: Table;
  readonly sites: readonly SiteName[];
  /** Of every site; the key stands once, at the left. */
  readonly columns: readonly Column[];
  readonly list: Checklist | undefined;
}

const REASONS: Record<Difference["kind"], string> = { same: "", columns: "", missing: "not here", extra: "only here, not at the server", version: "same values, another version" };

function keyCell(row: LiveRow, shape: Shape, state: State): VNode {
  const place: Place = { site: "", keyPath: row.key_path, column: "" };
  const open = (): void => look({ row: row.key_path });
  const uneven = reached(state).filter((site) => difference(row, site, reached(state)).kind !== "same");
  const label = `Row ${shownKey(row.key_path)}: its way and all its versions`;
  return h("td.key", cellProps(place, state, { onact: open }),
    h("div.key-line", null,
      h("button.key-button", { type: "button", tabindex: "-1", "aria-label": label, title: label, onclick: open }, shape.table.key.map((column) => String(row.key[column])).join(" · ")),
      uneven.length === 0 ? null : h("span.uneven", { title: `differs at ${uneven.join(", ")}` }, h("span", { "aria-hidden": "true" }, "≠"), aloud(`differs at ${uneven.join(", ")}`))),
    strip(row, state));
}

function absent(row: LiveRow, site: SiteName, found: Difference, span: number, state: State): VNode {
  const why = state.grid.unreachable[site];
  const place: Place = { site, keyPath: row.key_path, column: "" };
  const says = why === undefined ? (found.kind === "missing" ? [mark(), REASONS.missing] : aloud("no such row")) : "not reachable";
  return h("td.absent", cellProps(place, state, { colspan: span, title: why ?? null, class: found.kind === "missing" ? "differs" : "" }), says);
}

/** A tick and a text: everything a list needs of a site's row. */
function listCell(row: Row, site: SiteName, { text, done }: Checklist, column: Column, found: Difference, state: State): VNode {
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
  const tick = h("input", { type: "checkbox", tabindex: "-1", checked: isDone, disabled: !mayEdit(), "aria-label": `${String(row.values[text])}, ${done} at ${site}`, onclick: (event: Event) => event.stopPropagation(), onchange: toggle });
  const content = editing === null ? h("span.todo", { class: isDone ? "done" : "", onclick: open }, shown(row.values[text])) : editor(place, column, editing);
  return h("td.item", cellProps(place, state, { class: `${found.kind === "same" ? "" : "differs"} ${mayEdit() ? "editable" : ""}`, title: other === "" ? null : `differs from the server: ${other}`, onact: open, "data-done": String(isDone), "data-toggle": "" }),
    h("div.item-line", null, found.kind === "same" ? null : [h("span.sign", { "aria-hidden": "true" }, "≠"), aloud(`differs from the server (${other}): `)], tick, content, editing === null ? deleteButton(site, row) : null));
}

function siteCells(row: LiveRow, site: SiteName, shape: Shape, state: State): Child {
  const found: Difference = site in state.grid.unreachable ? { kind: "same" } : difference(row, site, reached(state));
  const here = row.cells[site] ?? null;
  const { list, columns } = shape;
  if (here === null) return absent(row, site, found, list === undefined ? columns.length + 1 : 1, state);
  if (list !== undefined) {
    const column = columns.find(({ name }) => name === list.text);
    return column === undefined ? null : listCell(here, site, list, column, found, state);
  }
  return [
    columns.map((column) => valueCell({ site, keyPath: row.key_path, column: column.name }, here, column, differs(found, column.name), state)),
    h("td.tools", { key: `${site} tools`, role: "gridcell" }, found.kind === "extra" || found.kind === "version" ? h("span.sign", { title: REASONS[found.kind] }, "≠", aloud(REASONS[found.kind])) : null, deleteButton(site, here)),
  ];
}

/** A row is added where its text is all that must be given; otherwise a form asks for the rest. */
function addRow(shape: Shape, list: Checklist, state: State): Child {
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
  return h("tr.add", { key: "add" }, h("td.key", { role: "gridcell" }, aloud("New row")),
    shape.sites.map((site) => h("td", { key: site, role: "gridcell" },
      h("form", { onsubmit: (event: SubmitEvent) => submit(site, event) },
        h("input", { name: "text", type: "text", autocomplete: "off", required: true, placeholder: `Add at ${site}`, "aria-label": `${list.text} of a new row at ${site}`, disabled: !mayEdit() || site in state.grid.unreachable }),
        button(`Add at ${site}`, { type: "submit", icon: "plus", bare: true, tone: "quiet", edits: true })))));
}

function siteHead(site: SiteName, shape: Shape, state: State): VNode {
  const status = state.cluster.value?.sites.find(({ name }) => name === site);
  const found = status === undefined ? undefined : links(status);
  const why = state.grid.unreachable[site];
  const insertAt = shape.list === undefined ? button(`Insert a row at ${site}`, { icon: "plus", bare: true, tone: "quiet", edits: true, onclick: () => set({ dialog: { kind: "insert", site, saving: false } }) }) : null;
  const link = why !== undefined ? tag("bad", "unknown", "Not reachable", why) : found === undefined || found.word === "Connected" ? null : tag(found.word === "Cut" ? "cut" : "busy", found.word === "Cut" ? "cut" : "moving", found.word);
  return h("th.site", { key: site, scope: "colgroup", colspan: shape.list === undefined ? shape.columns.length + 1 : 1 }, h("div.site-head", null, h("span", null, site), link, insertAt));
}

function head(shape: Shape, state: State): VNode {
  const key = h("th.key", { scope: "col", rowspan: shape.list === undefined ? 2 : 1 }, shape.table.key.join(", "), h("span.key-note", null, "and its way"));
  const names = (site: SiteName): VNode[] => [...shape.columns.map((column) => h("th", { key: `${site} ${column.name}`, scope: "col", title: column.type }, column.name)), h("th.tools", { key: `${site} tools`, scope: "col" }, aloud("Delete"))];
  return h("thead", null, h("tr", null, key, shape.sites.map((site) => siteHead(site, shape, state))), shape.list === undefined ? h("tr.names", null, shape.sites.map(names)) : null);
}

export function grid(shape: Shape, state: State): VNode {
  const { rows } = state.grid;
  const [first] = rows;
  const ids = new Set(rows.flatMap((row) => [placeId({ site: "", keyPath: row.key_path, column: "" }), ...shape.sites.flatMap((site) => ["", ...shape.columns.map(({ name }) => name)].map((column) => placeId({ site, keyPath: row.key_path, column })))]));
  // Tab must find its way in, also after the cell it left is gone.
  const active = state.active !== null && ids.has(state.active) ? state.active : first === undefined ? null : placeId({ site: "", keyPath: first.key_path, column: "" });
  const view = { ...state, active };
  const { list } = shape;
  return h("div.scroll", { role: "region", "aria-label": `Rows of ${shape.table.name}`, tabindex: "-1" },
    h("table.grid", { class: `${list === undefined ? "wide" : "list"} ${shape.sites.length > 6 ? "many" : ""}`, role: "grid", "aria-label": `${shape.table.name} at ${shape.sites.join(", ")}`, "aria-busy": String(state.grid.loading), onkeydown: onGridKey, onfocusin: onGridFocus },
      head(shape, view),
      h("tbody", null, list === undefined ? null : addRow(shape, list, view),
        rows.map((row) => h("tr", { key: `row ${row.key_path}`, "data-row": row.key_path, class: row.equal ? "" : "uneven-row" }, keyCell(row, shape, view), shape.sites.map((site) => siteCells(row, site, shape, view)))))));
}
