//! A row's key as one text and as a segment of a path.

import type { Cell, Values } from "../api/types.ts";

/** A cell as the API takes and prints it in text. */
export function text(cell: Cell | undefined): string {
  return cell === null || cell === undefined ? "" : String(cell);
}

/** The key's values in the order of its columns, joined by commas; a comma inside a value is encoded. */
export function keyPath(key: Values, columns: readonly string[]): string {
  return columns.map((column) => encodeURIComponent(text(key[column]))).join(",");
}

/** The key path as one segment of a URL's path. */
export const rowSegment = encodeURIComponent;

/** A key for people: `5`, or `a · b` for a compound one. */
export function shownKey(path: string): string {
  return path.split(",").map(decodeURIComponent).join(" · ");
}
