//! How far a version has come: what was heard of it live, and the marks that are drawn from it.

import type { Change, HopEvent, SiteName, Way } from "../api/types.ts";
import { type LiveRow, newest, versionAt } from "./align.ts";
import { type Cut, cutWays } from "./kubectl.ts";
import { compare, decode } from "./version.ts";

export type HopName = "local" | "captured" | "in_kafka" | "applied";

export interface Mark {
  readonly hop: HopName;
  readonly site: SiteName;
  readonly state: "done" | "pending" | "unknown";
  /** Pending, because the link it goes over is cut. */
  readonly cut: boolean;
  readonly at: string | undefined;
}

/** When which hop of a version was seen. Bounded: the oldest versions are forgotten first. */
export class Trail {
  private readonly seen = new Map<string, Map<string, string>>();
  private readonly limit: number;

  constructor(limit = 5000) {
    this.limit = limit;
  }

  private note(keyPath: string, version: string, hop: string, at: string): void {
    const id = `${keyPath}@${version}`;
    let hops = this.seen.get(id);
    if (hops === undefined) {
      hops = new Map();
      this.seen.set(id, hops);
      const oldest = this.seen.size > this.limit ? this.seen.keys().next().value : undefined;
      if (oldest !== undefined) this.seen.delete(oldest);
    }
    if (!hops.has(hop)) hops.set(hop, at);
  }

  change(change: Change): void {
    if (change.version === null) return;
    this.note(change.key_path, change.version, change.applied ? `applied@${change.site}` : "local", change.at);
  }

  /** The server sends on what clients wrote, so a version passes two topics; its way is through the topic of where it was made. */
  hop(event: HopEvent): void {
    if (decode(event.version)?.site === event.site) this.note(event.key_path, event.version, event.hop, event.at);
  }

  /** A way that was asked for. */
  way({ key, version, hops }: Way): void {
    for (const { hop, site, state, at } of hops)
      if (state === "done") this.note(key, version, hop === "applied" ? `applied@${site}` : hop, at ?? "");
  }

  at(keyPath: string, version: string, hop: HopName, site: SiteName): string | undefined {
    return this.seen.get(`${keyPath}@${version}`)?.get(hop === "applied" ? `applied@${site}` : hop);
  }

  knows(keyPath: string, version: string): boolean {
    return this.seen.has(`${keyPath}@${version}`);
  }

  clear(): void {
    this.seen.clear();
  }
}

/** Whether the link is cut that a hop goes over. What one client writes comes to another through the server's topic. */
function overCutLink(cut: Cut, hop: HopName, origin: SiteName, site: SiteName): boolean {
  if (hop !== "applied") return hop !== "local" && cutWays(cut, origin).uplink;
  const throughServer = origin !== "server" && site !== "server";
  return cutWays(cut, site).downlink || (throughServer && cutWays(cut, "server").uplink);
}

/**
 * The way of a row's newest version: local, captured, in Kafka, applied at the server and at every client but where it was written.
 * What a site holds is certain. The two hops between are done as soon as another site holds the version; before that only events tell.
 */
export function marks(
  row: LiveRow,
  sites: readonly SiteName[],
  unreachable: Readonly<Record<SiteName, string>>,
  trail: Trail,
  cut: Cut,
): Mark[] {
  const version = newest(row, sites);
  const written = decode(version);
  if (version === null || written === undefined) return [];
  const origin = written.site;
  const when = (hop: HopName, site: SiteName): string | undefined => trail.at(row.key_path, version, hop, site);
  const holds = (site: SiteName): boolean => compare(versionAt(row, site), version) === 0;
  const elsewhere = sites.some((site) => site !== origin && holds(site));
  const mark = (hop: HopName, site: SiteName, state: Mark["state"]): Mark => {
    const isOff = state === "pending" && overCutLink(cut, hop, origin, site);
    // An empty time: done, and nobody knows when.
    return { hop, site, state, cut: isOff, at: when(hop, site) || undefined };
  };
  const between = (hop: "captured" | "in_kafka", sure: boolean): Mark => {
    const isDone = sure || when(hop, origin) !== undefined;
    return mark(hop, origin, isDone ? "done" : trail.knows(row.key_path, version) ? "pending" : "unknown");
  };
  const inKafka = between("in_kafka", elsewhere);
  const applied = sites
    .filter((site) => site !== origin)
    .map((site) => mark("applied", site, holds(site) ? "done" : site in unreachable ? "unknown" : "pending"));
  const made = mark("local", origin, "done");
  const local = { ...made, at: made.at ?? new Date(written.at).toISOString() };
  return [local, between("captured", inKafka.state === "done"), inKafka, ...applied];
}

/** How many sites are compared, of how many there are; undefined while that is not known. */
export interface Shown {
  readonly sites: number;
  readonly of: number | undefined;
}

const isAll = ({ sites, of }: Shown): boolean => of !== undefined && sites >= of;

/** Where something holds of which only the sites that are shown are known. */
export function everywhere(shown: Shown): string {
  if (isAll(shown)) return "at every site";
  return `at the sites shown (${shown.sites}${shown.of === undefined ? "" : ` of ${shown.of}`})`;
}

/** Whether every site has the version: not to be said while some are not shown. */
export function settled(all: readonly Mark[], shown: Shown): boolean {
  return isAll(shown) && all.length > 0 && all.every(({ state }) => state === "done");
}

export function hopTitle(mark: { readonly hop: HopName; readonly site: SiteName }): string {
  const titles: Record<HopName, string> = {
    local: `written at ${mark.site}`,
    captured: `captured from ${mark.site}'s WAL`,
    in_kafka: "in Kafka",
    applied: `applied at ${mark.site}`,
  };
  return titles[mark.hop];
}

/** The marks in one sentence, for those who do not see them. */
export function spoken(all: readonly Mark[], shown: Shown): string {
  const [local] = all;
  if (local === undefined) return "way unknown";
  const at = (state: Mark["state"]): string =>
    all
      .filter((mark) => mark.hop === "applied" && mark.state === state)
      .map(({ site, cut }) => (cut ? `${site} (cut)` : site))
      .join(", ");
  const [pending, unknown] = [at("pending"), at("unknown")];
  if (pending === "" && unknown === "") return `written at ${local.site}, settled ${everywhere(shown)}`;
  const inKafka = all.find((mark) => mark.hop === "in_kafka");
  const words = {
    done: "in Kafka",
    pending: inKafka?.cut === true ? "cut from Kafka" : "not in Kafka yet",
    unknown: "not seen in Kafka",
  };
  const carried = words[inKafka?.state ?? "unknown"];
  const waits = pending === "" ? "" : `, pending at ${pending}`;
  return `written at ${local.site}, ${carried}${waits}${unknown === "" ? "" : `, not known at ${unknown}`}`;
}
