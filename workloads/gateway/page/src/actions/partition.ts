//! Cutting and healing.

import { call, Problem } from "../api/client.ts";
import type { PartitionAnswer } from "../api/types.ts";
import { copy } from "../dom/parts.ts";
import { type Cut, cutOf, isHealed, kubectl } from "../model/kubectl.ts";
import { say, set, type State, state } from "../store.ts";

/** How long an answer may be ahead of the document, at most: somebody else may have changed the resource since. */
const AHEAD = 5000;

/** The partition the resource asks for, as far as this page knows. */
export function wanted(of: State): Cut {
  return cutOf(of.partition.value === undefined ? of.cluster.value?.partition : of.partition.value);
}

export async function applyCut(cut: Cut): Promise<void> {
  set({ partition: { ...state.partition, busy: true } });
  try {
    const healed = isHealed(cut);
    const body = {
      clients: cut.clients,
      server: cut.server,
      counters: cut.counters,
      link: cut.link,
      heal_after: cut.healAfter,
    };
    const answer = await (healed
      ? call<PartitionAnswer | undefined>("/partition", { method: "DELETE" })
      : call<PartitionAnswer>("/partition", { method: "PUT", body }));
    // Shown until the cluster's document says the same.
    const shown = { busy: false, value: healed ? null : (answer?.partition ?? null) };
    set({ partition: shown });
    setTimeout(() => state.partition === shown && set({ partition: { busy: false } }), AHEAD);
  } catch (thrown) {
    const problem = Problem.of(thrown);
    set({ partition: { busy: false, problem } });
  }
}

/** The resource says something: what was shown ahead of it is not needed once the two agree. */
export function partitionSeen(): void {
  const { value, busy } = state.partition;
  const agree = JSON.stringify(cutOf(value)) === JSON.stringify(cutOf(state.cluster.value?.partition));
  if (value !== undefined && !busy && agree) set({ partition: { busy: false } });
}

/** Undefined outside Kubernetes. */
export function commandFor(cut: Cut): string | undefined {
  const cluster = state.cluster.value;
  if (cluster === undefined || cluster.namespace === null) return undefined;
  return kubectl(cluster.namespace, cluster.name, cut);
}

export function copyCommand(cut: Cut): void {
  const command = commandFor(cut);
  if (command === undefined)
    say("failed", "This cluster does not run in Kubernetes, so there is nothing for kubectl to do.");
  else void copy(command, command);
}
