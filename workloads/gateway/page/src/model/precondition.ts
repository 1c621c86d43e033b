//! What a row has to be for a losing write to be made again: what somebody has looked at.

import type { Conflict, Row } from "../api/types.ts";

/** A row in this version, or that there is none. */
export type Precondition = { readonly ifMatch: string } | { readonly ifNoneMatch: "*" };

const NO_ROW: Precondition = { ifNoneMatch: "*" };

/** The row as the conflict left it. The winner of a unique collision has another key: the loser's own row is gone. */
export function asDecided({ kind, winner, winner_version: version }: Conflict): Precondition {
  return winner === null || kind === "unique" ? NO_ROW : { ifMatch: version };
}

/** The row as it was found to be since. */
export function asFound(current: Row | null): Precondition {
  return current === null ? NO_ROW : { ifMatch: current.version };
}
