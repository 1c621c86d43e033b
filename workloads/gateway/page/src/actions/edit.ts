//! Writing rows: a cell, a tick, a new row, a delete and its undo. Every change of a row carries the version it was made against.

import { call, Problem, segment } from "../api/client.ts";
import type { Cell, Change, Column, Row, SiteName, Table, Values } from "../api/types.ts";
import { rowSegment, shownKey, text } from "../model/key.ts";
import { canUndo, isSame, restored, typed } from "../model/shape.ts";
import { drawNow, say, set, state } from "../store.ts";
import { onChanges, readRowsSoon, rowAt, table } from "./rows.ts";

const rows = (name: string, site: SiteName): string => `/sites/${segment(site)}/tables/${segment(name)}/rows`;
const rowPath = (name: string, site: SiteName, keyPath: string): string => `${rows(name, site)}/${rowSegment(keyPath)}`;

/** The answer to a write is shown at once; the event that comes of it changes nothing more. */
function show(name: string, site: SiteName, op: Change["op"], row: Row): void {
  onChanges([
    {
      site,
      table: name,
      op,
      key: row.key,
      key_path: row.key_path,
      version: row.version,
      parent: row.parent,
      row,
      at: row.written_at,
      applied: false,
    },
  ]);
}

/** What a field says; one that began with null and was left empty says null still, where an empty text is meant by a button of its own. */
export function given(control: HTMLInputElement): string | null {
  return state.editing?.begun === null && control.value === "" ? null : control.value;
}

/** What was typed in another cell is not thrown away by going on to the next. */
function saveOpen(): void {
  const { editing } = state;
  const column = table()?.columns.find(({ name }) => name === editing?.column);
  const control = document.querySelector<HTMLInputElement>(".editor :is(input, select, textarea)");
  if (editing !== null && column !== undefined && control !== null && control.value !== text(editing.begun))
    void saveCell(column, given(control));
}

export function edit(site: SiteName, keyPath: string, column: string): void {
  const row = rowAt(keyPath)?.cells[site];
  if (row === null || row === undefined) return;
  saveOpen();
  set({ editing: { site, keyPath, column, version: row.version, begun: row.values[column] ?? null, saving: false } });
  drawNow();
}

/** Focus goes back to the cell, where the keyboard was. */
export function stopEditing(): void {
  const { editing } = state;
  set({ editing: null });
  drawNow();
  if (editing !== null) focusCell(editing.site, editing.keyPath, editing.column);
}

function focusCell(site: SiteName, keyPath: string, column: string): void {
  for (const cell of document.querySelectorAll<HTMLElement>("td[data-column]"))
    if (cell.dataset["site"] === site && cell.dataset["key"] === keyPath && cell.dataset["column"] === column)
      cell.focus();
}

const sayProblem = (problem: Problem): void => say("failed", `${problem.title}: ${problem.message}`);

export async function saveCell(column: Column, said: string | null): Promise<void> {
  const { editing } = state;
  const chosen = table();
  if (editing === null || chosen === undefined || editing.saving) return;
  const row = rowAt(editing.keyPath)?.cells[editing.site];
  if (row === null || row === undefined) return stopEditing();
  const value = said === null ? null : typed(column, said);
  if (row.version === editing.version && isSame(editing.begun, value)) return stopEditing();
  set({ editing: { ...editing, saving: true } });
  const problem = await write(chosen, editing.site, { ...row, version: editing.version }, { [column.name]: value });
  const { editing: now } = state;
  const still =
    now !== null && now.site === editing.site && now.keyPath === editing.keyPath && now.column === editing.column;
  if (!still) {
    if (problem !== undefined) sayProblem(problem);
  } else if (problem === undefined) stopEditing();
  else set({ editing: { ...editing, saving: false, problem } });
}

/** Undefined when it is written, or when a dialog asks what to do about somebody else's change. */
async function write(chosen: Table, site: SiteName, row: Row, values: Values): Promise<Problem | undefined> {
  try {
    show(
      chosen.name,
      site,
      "u",
      await call<Row>(rowPath(chosen.name, site, row.key_path), {
        method: "PATCH",
        ifMatch: row.version,
        body: { values },
      }),
    );
    return undefined;
  } catch (thrown) {
    const problem = Problem.of(thrown);
    const current = problem.document["current"] as Row | undefined | null;
    if (problem.status !== 412 || current === undefined || current === null) return problem;
    show(chosen.name, site, "u", current);
    set({ dialog: { kind: "changed-since", table: chosen.name, site, keyPath: row.key_path, mine: values, current } });
    return undefined;
  }
}

/** Changes a row without a cell being open. */
export async function setValues(site: SiteName, row: Row, values: Record<string, Cell>): Promise<void> {
  const chosen = table();
  if (chosen === undefined) return;
  const problem = await write(chosen, site, row, values);
  if (problem !== undefined) sayProblem(problem);
}

/** Whether it is there afterwards. */
export async function insert(site: SiteName, values: Values): Promise<Problem | undefined> {
  const chosen = table();
  if (chosen === undefined) return undefined;
  try {
    show(chosen.name, site, "c", await call<Row>(rows(chosen.name, site), { method: "POST", body: { values } }));
    return undefined;
  } catch (thrown) {
    return Problem.of(thrown);
  }
}

/** Asks first where it could not be undone. */
export function remove(site: SiteName, row: Row): void {
  const chosen = table();
  if (chosen !== undefined && !canUndo(chosen)) set({ dialog: { kind: "delete", site, row } });
  else void removeNow(site, row);
}

export async function removeNow(site: SiteName, row: Row): Promise<void> {
  const chosen = table();
  if (chosen === undefined) return;
  const what = `row ${shownKey(row.key_path)} at ${site}`;
  try {
    await call(rowPath(chosen.name, site, row.key_path), { method: "DELETE", ifMatch: row.version });
    // The delete's own version comes with the event.
    onChanges([
      {
        site,
        table: chosen.name,
        op: "d",
        key: row.key,
        key_path: row.key_path,
        version: null,
        parent: row.version,
        row: null,
        at: new Date().toISOString(),
        applied: false,
      },
    ]);
    const undo = { label: "Undo", run: () => void bringBack(site, restored(chosen, row.values)) };
    say("done", `Deleted ${what}.`, canUndo(chosen) ? undo : undefined);
  } catch (thrown) {
    const problem = Problem.of(thrown);
    say(
      "failed",
      problem.status === 412
        ? `Not deleted: ${what} was changed since it was read.`
        : `${problem.title}: ${problem.message}`,
    );
    readRowsSoon();
  }
}

async function bringBack(site: SiteName, values: Values): Promise<void> {
  const problem = await insert(site, values);
  if (problem !== undefined) sayProblem(problem);
}
