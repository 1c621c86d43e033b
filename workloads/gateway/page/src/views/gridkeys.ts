//! The keyboard in the grid: arrows move between cells, Enter changes a cell, Delete deletes the row at that site.

import { remove } from "../actions/edit.ts";
import { rowAt } from "../actions/rows.ts";
import { mayEdit, set, state } from "../store.ts";

type CellElement = HTMLTableCellElement;

const cells = (row: Element | null | undefined): CellElement[] => [
  ...(row?.querySelectorAll<CellElement>("td[data-column]") ?? []),
];

function rowsOf(cell: CellElement): HTMLTableRowElement[] {
  return [...(cell.closest("tbody")?.querySelectorAll<HTMLTableRowElement>("tr[data-row]") ?? [])];
}

/** The cell of another row under the same column, or at the same site where that row has one cell for all its columns. */
function inRow(row: HTMLTableRowElement | undefined, from: CellElement): CellElement | undefined {
  const { site, column } = from.dataset;
  const all = cells(row);
  return (
    all.find((cell) => cell.dataset["site"] === site && cell.dataset["column"] === column) ??
    all.find((cell) => cell.dataset["site"] === site) ??
    all[0]
  );
}

function target(key: string, from: CellElement): CellElement | undefined {
  const [row, all, rows] = [from.closest("tr"), cells(from.closest("tr")), rowsOf(from)];
  const [index, at] = [all.indexOf(from), rows.indexOf(row as HTMLTableRowElement)];
  switch (key) {
    case "ArrowLeft":
      return all[index - 1];
    case "ArrowRight":
      return all[index + 1];
    case "ArrowUp":
      return inRow(rows[at - 1], from);
    case "ArrowDown":
      return inRow(rows[at + 1], from);
    case "PageUp":
      return inRow(rows[Math.max(0, at - 10)], from);
    case "PageDown":
      return inRow(rows[Math.min(rows.length - 1, at + 10)], from);
    case "Home":
      return all[0];
    case "End":
      return all.at(-1);
    default:
      return undefined;
  }
}

/** Ticks where there is something to tick. */
function space(cell: CellElement): void {
  const tick = cell.querySelector<HTMLInputElement>("input[type=checkbox]");
  if (tick === null) cell.dispatchEvent(new Event("act"));
  else tick.click();
}

export function onGridKey(event: KeyboardEvent): void {
  const cell = event.target as CellElement;
  if (cell.tagName !== "TD" || cell.dataset["column"] === undefined || event.ctrlKey || event.metaKey || event.altKey)
    return;
  const { site = "", key = "" } = cell.dataset;
  const next = target(event.key, cell);
  if (next !== undefined) next.focus();
  else if (event.key === "Enter" || event.key === "F2") cell.dispatchEvent(new Event("act"));
  else if (event.key === " ") space(cell);
  else if (event.key === "Delete" && mayEdit()) {
    const row = rowAt(key)?.cells[site];
    if (row === null || row === undefined) return;
    remove(site, row);
  } else return;
  event.preventDefault();
}

/** The cell that has the focus is the one that Tab comes back to. */
export function onGridFocus(event: FocusEvent): void {
  const cell = (event.target as Element).closest<HTMLElement>("td[data-column]");
  if (cell === null) return;
  const { site, key, column } = cell.dataset;
  const active = `${key} ${site} ${column}`;
  if (active !== state.active) set({ active });
}
