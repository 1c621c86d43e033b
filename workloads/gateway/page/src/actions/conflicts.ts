//! Making a losing write again, and asking for another try of what is parked.

import { call, Problem, segment } from "../api/client.ts";
import type { Conflict, Parked, Row } from "../api/types.ts";
import { say, set, state } from "../store.ts";
import { readConflicts } from "./refresh.ts";

export async function reapply(conflict: Conflict): Promise<void> {
  const id = `${conflict.site}:${conflict.id}`;
  const note = (result: (typeof state.reapplied)[string]): void =>
    set({ reapplied: { ...state.reapplied, [id]: result } });
  note({ busy: true });
  try {
    const { row, left_out: leftOut } = await call<{ row: Row | null; left_out: string[] }>(
      `/sites/${segment(conflict.site)}/conflicts/${segment(conflict.id)}/reapply`,
      { method: "POST" },
    );
    note({ busy: false, row, leftOut });
    readConflicts();
  } catch (thrown) {
    note({ busy: false, problem: Problem.of(thrown) });
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
