//! Rows of several sites side by side, aligned by key, and what a change does to them.

import type { AlignedRow, Cell, Change, Row, SiteName } from "../api/types.ts";
import { compare } from "./version.ts";

/** A row of the page: with it the versions of deletes that were seen, since an empty cell has no version of its own. */
export interface LiveRow extends AlignedRow {
  readonly gone: Readonly<Record<SiteName, string>>;
}

export function live(row: AlignedRow): LiveRow {
  return { ...row, gone: {} };
}

/** The site the others are compared with: the server where it takes part. */
export function reference(sites: readonly SiteName[]): SiteName | undefined {
  return sites.includes("server") ? "server" : sites[0];
}

/** Columns whose values are known on both sides and are not the same: an event may lack a generated column. */
const uneven = (a: Row, b: Row): string[] =>
  Object.keys(a.values).filter((column) => column in b.values && a.values[column] !== b.values[column]);

const same = (a: Row | null | undefined, b: Row | null | undefined): boolean => {
  if (a === null || a === undefined || b === null || b === undefined) return (a ?? null) === (b ?? null);
  return a.version === b.version && uneven(a, b).length === 0;
};

export function isEqual(cells: AlignedRow["cells"], sites: readonly SiteName[]): boolean {
  const [first, ...others] = sites;
  return first === undefined || others.every((site) => same(cells[first], cells[site]));
}

/** The version a site has of a row: of the row, or of its delete. */
export function versionAt(row: LiveRow, site: SiteName): string | null {
  return row.cells[site]?.version ?? row.gone[site] ?? null;
}

export function newest(row: LiveRow, sites: readonly SiteName[]): string | null {
  return sites.reduce<string | null>((best, site) => {
    const version = versionAt(row, site);
    return compare(version, best) > 0 ? version : best;
  }, null);
}

/** How a site's row stands against the reference's: which columns differ, or that one of the two has no such row. */
export type Difference =
  | { readonly kind: "same" | "missing" | "extra" | "version" }
  | { readonly kind: "columns"; readonly columns: readonly string[] };

export function difference(row: AlignedRow, site: SiteName, sites: readonly SiteName[]): Difference {
  const against = reference(sites);
  const [mine, theirs] = [row.cells[site] ?? null, against === undefined ? null : (row.cells[against] ?? null)];
  if (site === against || (mine === null && theirs === null)) return { kind: "same" };
  if (mine === null) return { kind: "missing" };
  if (theirs === null) return { kind: "extra" };
  const columns = uneven(mine, theirs);
  if (columns.length > 0) return { kind: "columns", columns };
  return { kind: mine.version === theirs.version ? "same" : "version" };
}

export const differs = (found: Difference, column: string): boolean =>
  found.kind === "columns" && found.columns.includes(column);

/** The row after a change at a site. An older change than what is there does nothing: reading and events overlap. */
export function changed(row: LiveRow, change: Change, sites: readonly SiteName[]): LiveRow {
  const has = versionAt(row, change.site);
  const overtaken =
    change.version === null ? (row.cells[change.site] ?? null) === null : compare(change.version, has) < 0;
  if (overtaken) return row;
  const cells = { ...row.cells, [change.site]: change.op === "d" ? null : change.row };
  const gone = { ...row.gone };
  delete gone[change.site];
  if (change.op === "d" && change.version !== null) gone[change.site] = change.version;
  return { ...row, cells, gone, equal: isEqual(cells, sites) };
}

/** A row that is new to the page, by the change that brought it. */
export function appeared(change: Change, sites: readonly SiteName[]): LiveRow {
  const empty: LiveRow = {
    key: change.key,
    key_path: change.key_path,
    equal: false,
    cells: Object.fromEntries(sites.map((site) => [site, null])),
    gone: {},
  };
  return changed(empty, change, sites);
}

const isInteger = (cell: Cell | undefined): boolean =>
  Number.isSafeInteger(cell) || (typeof cell === "string" && /^-?\d+$/.test(cell));

/** The order of keys as Postgres sorts them where that is certain (integers, uuids); the rest by code points. */
export function compareKeys(a: AlignedRow, b: AlignedRow, key: readonly string[]): number {
  for (const column of key) {
    const [left, right] = [a.key[column], b.key[column]];
    if (left === right) continue;
    if (isInteger(left) && isInteger(right))
      return BigInt(left as string | number) < BigInt(right as string | number) ? -1 : 1;
    return String(left) < String(right) ? -1 : 1;
  }
  return 0;
}

/** A page's rows, of which there are no more than it holds. */
export interface Page {
  readonly rows: readonly LiveRow[];
  /** There is one more behind it: where the next page begins has to be asked. */
  readonly over: boolean;
}

/** Sets a new row where its key belongs, and takes what is too much off the end. Behind the end of a page that goes on there is no place. */
export function inserted(
  rows: readonly LiveRow[],
  row: LiveRow,
  key: readonly string[],
  goesOn: boolean,
  most: number,
): Page {
  const index = rows.findIndex((other) => compareKeys(row, other, key) < 0);
  if (index < 0 && goesOn) return { rows, over: false };
  const at = index < 0 ? rows.length : index;
  return { rows: [...rows.slice(0, at), row, ...rows.slice(at)].slice(0, most), over: rows.length >= most };
}

/** Without the rows that no site has any more. */
export function present(rows: readonly LiveRow[], sites: readonly SiteName[]): readonly LiveRow[] {
  const some = (row: LiveRow): boolean => sites.some((site) => (row.cells[site] ?? null) !== null);
  return rows.every(some) ? rows : rows.filter(some);
}
