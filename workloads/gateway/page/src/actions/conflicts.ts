//! Making a losing write again, and asking for another try of what is parked.

import { call, Problem, segment } from "../api/client.ts";
import type { Conflict, Parked, Row } from "../api/types.ts";
import { asDecided, type Precondition } from "../model/precondition.ts";
import { say, set, state } from "../store.ts";
import { readConflicts } from "./refresh.ts";

/** Makes the loser again where the row is still what was looked at; otherwise a dialog asks, with what is there now. */
export async function reapply(conflict: Conflict, only: Precondition = asDecided(conflict)): Promise<void> {
  const id = `${conflict.site}:${conflict.id}`;
  const note = (result: (typeof state.reapplied)[string]): void =>
    set({ reapplied: { ...state.reapplied, [id]: result } });
  note({ busy: true });
  try {
    const { row, left_out: leftOut } = await call<{ row: Row | null; left_out: string[] }>(
      `/sites/${segment(conflict.site)}/conflicts/${segment(conflict.id)}/reapply`,
      { method: "POST", ...only },
    );
    note({ busy: false, row, leftOut });
    readConflicts();
  } catch (thrown) {
    const problem = Problem.of(thrown);
    const current = problem.document["current"] as Row | null | undefined;
    if (problem.status === 412 && current !== undefined) {
      note({ busy: false });
      set({ dialog: { kind: "overtaken", conflict, current } });
    } else note({ busy: false, problem });
    // Somebody else may have been quicker.
    readConflicts();
  }
}

export async function retry(parked: Parked): Promise<void> {
  try {
    await call(`/sites/${segment(parked.site)}/parked/${segment(parked.id)}/retry`, { method: "POST" });
    say("done", `${parked.site} tries it again within a few seconds.`);
    readConflicts();
  } catch (thrown) {
    const problem = Problem.of(thrown);
    say("failed", `${problem.title}: ${problem.message}`);
  }
}
