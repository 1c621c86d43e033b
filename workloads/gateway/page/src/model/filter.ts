//! Pieces of the filter language: `column op value` joined by `and`.

import type { Cell } from "../api/types.ts";

const PLAIN = /^[A-Za-z_][A-Za-z0-9_]*$/;
const WORDS = new Set(["and", "or", "not", "is", "in", "null", "like", "ilike", "true", "false"]);

/** A column's name as the filter reads it. */
export function name(column: string): string {
  return PLAIN.test(column) && column === column.toLowerCase() && !WORDS.has(column)
    ? column
    : `"${column.replaceAll('"', '""')}"`;
}

/** A value: numbers and booleans bare, texts in single quotes. */
export function literal(cell: Exclude<Cell, null>): string {
  if (typeof cell === "boolean" || (typeof cell === "number" && Number.isFinite(cell))) return String(cell);
  return `'${String(cell).replaceAll("'", "''")}'`;
}

/** `title = 'milk'`, or `title is null`. */
export function equals(column: string, cell: Cell): string {
  return cell === null ? `${name(column)} is null` : `${name(column)} = ${literal(cell)}`;
}

/** A filter with one more condition; the same one is not said twice. */
export function and(filter: string | undefined, condition: string): string {
  const before = (filter ?? "").trim();
  if (before === "" || before === condition) return condition;
  return before.split(/ and /i).includes(condition) ? before : `${before} and ${condition}`;
}

/** What a person types who knows no filter language is looked for in the text column; what has an operator is taken as it is. */
export function understood(typed: string, textColumn: string | undefined): string {
  const text = typed.trim();
  if (text === "" || textColumn === undefined || /[=<>]|\b(i?like|in|is)\b/i.test(text)) return text;
  return `${name(textColumn)} ilike ${literal(`%${text.replace(/[\\%_]/g, "\\$&")}%`)}`;
}
