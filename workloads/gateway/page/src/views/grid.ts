//! The rows of all sites side by side, aligned by key: as a grid of all columns, or as a list to tick off.

import { look } from "../actions/navigate.ts";
import { reached } from "../actions/rows.ts";
import type { SiteName } from "../api/types.ts";
import { aloud } from "../dom/parts.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import { type Difference, difference, differs, type LiveRow } from "../model/align.ts";
import { shownKey } from "../model/key.ts";
import type { State } from "../store.ts";
import { cellProps, deleteButton, mark, type Place, placeId, valueCell } from "./cell.ts";
import { head, REASONS, type Shape } from "./gridhead.ts";
import { onGridFocus, onGridKey } from "./gridkeys.ts";
import { addRow, listCell } from "./listcell.ts";
import { strip } from "./marks.ts";

function keyCell(row: LiveRow, shape: Shape, state: State): VNode {
  const place: Place = { site: "", keyPath: row.key_path, column: "" };
  const open = (): void => look({ row: row.key_path });
  const uneven = reached(state).filter((site) => difference(row, site, reached(state)).kind !== "same");
  const label = `Row ${shownKey(row.key_path)}: its way and all its versions`;
  return h(
    "td.key",
    cellProps(place, state, { onact: open }),
    h(
      "div.key-line",
      null,
      h(
        "button.key-button",
        { type: "button", tabindex: "-1", "aria-label": label, title: label, onclick: open },
        shape.table.key.map((column) => String(row.key[column])).join(" · "),
      ),
      uneven.length === 0
        ? null
        : h(
            "span.uneven",
            { title: `differs at ${uneven.join(", ")}` },
            h("span", { "aria-hidden": "true" }, "≠"),
            aloud(`differs at ${uneven.join(", ")}`),
          ),
    ),
    strip(row, state),
  );
}

function absent(row: LiveRow, site: SiteName, found: Difference, span: number, state: State): VNode {
  const why = state.grid.unreachable[site];
  const place: Place = { site, keyPath: row.key_path, column: "" };
  const says =
    why === undefined ? (found.kind === "missing" ? [mark(), REASONS.missing] : aloud("no such row")) : "not reachable";
  return h(
    "td.absent",
    cellProps(place, state, { colspan: span, title: why ?? null, class: found.kind === "missing" ? "differs" : "" }),
    says,
  );
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
    columns.map((column) =>
      valueCell({ site, keyPath: row.key_path, column: column.name }, here, column, differs(found, column.name), state),
    ),
    h(
      "td.tools",
      { key: `${site} tools`, role: "gridcell" },
      found.kind === "extra" || found.kind === "version"
        ? h("span.sign", { title: REASONS[found.kind] }, "≠", aloud(REASONS[found.kind]))
        : null,
      deleteButton(site, here),
    ),
  ];
}

export function grid(shape: Shape, state: State): VNode {
  const { rows } = state.grid;
  const [first] = rows;
  const ids = new Set(
    rows.flatMap((row) => [
      placeId({ site: "", keyPath: row.key_path, column: "" }),
      ...shape.sites.flatMap((site) =>
        ["", ...shape.columns.map(({ name }) => name)].map((column) =>
          placeId({ site, keyPath: row.key_path, column }),
        ),
      ),
    ]),
  );
  // Tab must find its way in, also after the cell it left is gone.
  const active =
    state.active !== null && ids.has(state.active)
      ? state.active
      : first === undefined
        ? null
        : placeId({ site: "", keyPath: first.key_path, column: "" });
  const view = { ...state, active };
  const { list } = shape;
  return h(
    "div.scroll",
    { role: "region", "aria-label": `Rows of ${shape.table.name}`, tabindex: "-1" },
    h(
      "table.grid",
      {
        class: `${list === undefined ? "wide" : "list"} ${shape.sites.length > 6 ? "many" : ""}`,
        role: "grid",
        "aria-label": `${shape.table.name} at ${shape.sites.join(", ")}`,
        "aria-busy": String(state.grid.loading),
        onkeydown: onGridKey,
        onfocusin: onGridFocus,
      },
      head(shape, view),
      h(
        "tbody",
        null,
        list === undefined ? null : addRow(shape, list, view),
        rows.map((row) =>
          h(
            "tr",
            { key: `row ${row.key_path}`, "data-row": row.key_path, class: row.equal ? "" : "uneven-row" },
            keyCell(row, shape, view),
            shape.sites.map((site) => siteCells(row, site, shape, view)),
          ),
        ),
      ),
    ),
  );
}
