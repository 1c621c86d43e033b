//! The kubectl command that does what a switch of the page does.

import type { Link, Partition } from "../api/types.ts";

/** What is asked for: who is cut, which way, for how long. */
export interface Cut {
  readonly clients: readonly number[];
  readonly server: boolean;
  /** Counter nodes. */
  readonly counters: readonly number[];
  readonly link: Link;
  /** `30s`, `5m`, `2h`; null: until it is healed by hand. */
  readonly healAfter: string | null;
}

export const CONNECTED: Cut = { clients: [], server: false, counters: [], link: "Both", healAfter: null };

export function cutOf(partition: Partition | null | undefined): Cut {
  if (partition === null || partition === undefined) return CONNECTED;
  return {
    clients: [...partition.clients].sort((a, b) => a - b),
    server: partition.server,
    counters: [...partition.counters].sort((a, b) => a - b),
    link: partition.link,
    healAfter: partition.heal_after,
  };
}

export const isHealed = (cut: Cut): boolean => cut.clients.length === 0 && !cut.server && cut.counters.length === 0;

export function isCut(cut: Cut, site: string): boolean {
  return site === "server" ? cut.server : cut.clients.some((client) => `client-${client}` === site);
}

/** Which ways of a site are cut. */
export function cutWays(cut: Cut, site: string): { readonly uplink: boolean; readonly downlink: boolean } {
  const off = isCut(cut, site);
  return { uplink: off && cut.link !== "Downlink", downlink: off && cut.link !== "Uplink" };
}

/** The cut with this site added, or taken away for null. A partition has one link and one duration, so the last choice is everybody's. */
export function withSite(cut: Cut, site: string, link: Link | null, healAfter: string | null): Cut {
  const ordinal = Number(site.replace("client-", ""));
  const others = cut.clients.filter((client) => client !== ordinal);
  if (link === null) return site === "server" ? { ...cut, server: false } : { ...cut, clients: others };
  if (site === "server") return { ...cut, server: true, link, healAfter };
  return { ...cut, clients: [...others, ordinal].sort((a, b) => a - b), link, healAfter };
}

/** Who else is cut another way, or for another time, once this cut is made: a partition has one link and one duration for all. */
export function alsoChanged(before: Cut, after: Cut): readonly string[] {
  const isOther = before.link !== after.link;
  if (isHealed(before) || isHealed(after) || (!isOther && before.healAfter === after.healAfter)) return [];
  return [
    ...(before.server && after.server ? ["server"] : []),
    ...before.clients.filter((client) => after.clients.includes(client)).map((client) => `client-${client}`),
    // Nodes have no link that could be cut by half.
    ...(before.healAfter === after.healAfter
      ? []
      : before.counters.filter((node) => after.counters.includes(node))
    ).map((node) => `counter-${node}`),
  ];
}

/** What a click does to the cut that is there. */
export type Change = (cut: Cut) => Cut;

const names = (cut: Cut): readonly string[] => [
  ...(cut.server ? ["server"] : []),
  ...cut.clients.map((client) => `client-${client}`),
  ...cut.counters.map((node) => `counter-${node}`),
];

/** Whom a change concerns: who joins the cut, who leaves it, and who is cut another way. */
function concerned(before: Cut, after: Cut): readonly string[] {
  const [was, is] = [names(before), names(after)];
  return [
    ...was.filter((name) => !is.includes(name)),
    ...is.filter((name) => !was.includes(name)),
    ...alsoChanged(before, after),
  ];
}

/** Whom a change concerns now, though it did not when it was chosen. */
export function others(change: Change, seen: Cut, now: Cut): readonly string[] {
  const meant = concerned(seen, change(seen));
  return concerned(now, change(now)).filter((name) => !meant.includes(name));
}

/** The cut with this counter node added, or taken away. */
export function withCounter(cut: Cut, node: number, off: boolean, healAfter: string | null): Cut {
  const counters = cut.counters.filter((other) => other !== node);
  return off ? { ...cut, counters: [...counters, node].sort((a, b) => a - b), healAfter } : { ...cut, counters };
}

export function kubectl(namespace: string, cluster: string, cut: Cut): string {
  // A merge patch keeps what it does not name, so everything is named.
  const partition = isHealed(cut)
    ? null
    : { clients: cut.clients, server: cut.server, counters: cut.counters, link: cut.link, healAfter: cut.healAfter };
  return `kubectl -n ${namespace} patch synccluster ${cluster} --type merge -p '${JSON.stringify({ spec: { partition } })}'`;
}
