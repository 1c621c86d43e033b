//! Both sides of a conflict, or of a change, column by column.

export interface Side {
  readonly column: string;
  readonly winner: unknown;
  readonly loser: unknown;
  readonly differs: boolean;
}

/** The versions have lines of their own. */
const BOOKS = new Set(["sync_version", "sync_parent"]);

/** A row as it is in a table and a row as it travels write some values in other forms: `5` and `"5"` are the same. */
function same(a: unknown, b: unknown): boolean {
  const plain = (value: unknown): string =>
    value === null || value === undefined
      ? "\u0000"
      : typeof value === "object"
        ? JSON.stringify(value)
        : String(value);
  return plain(a) === plain(b);
}

export function sides(winner: Record<string, unknown> | null, loser: Record<string, unknown> | null): Side[] {
  const columns = [...new Set([...Object.keys(winner ?? {}), ...Object.keys(loser ?? {})])].filter(
    (column) => !BOOKS.has(column),
  );
  return columns.map((column) => {
    const [left, right] = [winner?.[column], loser?.[column]];
    return { column, winner: left, loser: right, differs: !same(left, right) };
  });
}
