//! Cutting and healing.

import { call, type Options, Problem } from "../api/client.ts";
import type { Partition, PartitionAnswer } from "../api/types.ts";
import { copy } from "../dom/parts.ts";
import { type Change, type Cut, cutOf, isHealed, kubectl, others } from "../model/kubectl.ts";
import { say, set, type State, state } from "../store.ts";

/** How long an answer may be ahead of the document, at most: somebody else may have changed the resource since. */
const AHEAD = 5000;

/** The partition the resource asks for, as far as this page knows. */
export function wanted(of: State): Cut {
  return cutOf(of.partition.value === undefined ? of.cluster.value?.partition : of.partition.value);
}

/** Makes the partition this, if it is still the one of that version. */
function send(cut: Cut, version: string | undefined): Promise<PartitionAnswer> {
  const only: Pick<Options, "ifMatch"> = version === undefined ? {} : { ifMatch: version };
  if (isHealed(cut)) return call("/partition", { method: "DELETE", ...only });
  const body = {
    clients: cut.clients,
    server: cut.server,
    counters: cut.counters,
    link: cut.link,
    heal_after: cut.healAfter,
  };
  return call("/partition", { method: "PUT", body, ...only });
}

/** What the partition is by now, where somebody else changed it since this page saw it. */
function meanwhile(problem: Problem): { readonly now: Cut; readonly version: string } | undefined {
  if (problem.status !== 412) return undefined;
  const { current, version } = problem.document;
  return { now: cutOf(current as Partition | null), version: String(version) };
}

/** Changes what this page saw. Where somebody else was faster, once more on top of that, unless more sites would be concerned then. */
async function changed(seen: Cut, version: string | undefined, change: Change): Promise<PartitionAnswer> {
  try {
    return await send(change(seen), version);
  } catch (thrown) {
    const problem = Problem.of(thrown);
    const since = meanwhile(problem);
    if (since === undefined) throw problem;
    const more = others(change, seen, since.now);
    if (more.length === 0) return send(change(since.now), since.version);
    const detail = `Nothing was done: somebody else changed who is cut, and this would now concern ${more.join(", ")} too. Look at what is cut, and choose again.`;
    throw new Problem(problem.status, problem.kind, problem.title, detail, problem.document);
  }
}

export async function applyCut(change: Change): Promise<void> {
  set({ partition: { ...state.partition, busy: true } });
  const { value, version } = state.partition;
  try {
    const seen = value === undefined ? state.cluster.value?.partition_version : version;
    const answer = await changed(wanted(state), seen, change);
    // Shown until the cluster's document says the same.
    const shown = { busy: false, value: answer.partition, version: answer.version };
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
