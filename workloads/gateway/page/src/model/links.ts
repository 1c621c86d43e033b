//! What status says of a site's way to and from Kafka.

import type { SiteStatus } from "../api/types.ts";
import { bytes, duration } from "./time.ts";

export interface Edge {
  readonly cut: boolean;
  /** `0 B`, `12`, or `?` where nobody could be asked. */
  readonly lag: string;
  /** The age of the oldest change that waits; empty where none does. */
  readonly late: string;
  readonly behind: boolean;
}

export interface SiteLinks {
  readonly site: string;
  /** Cutting and Healing: wanted, and not measured yet. */
  readonly word: "Connected" | "Cutting" | "Cut" | "Healing" | "Unknown";
  readonly uplink: Edge;
  readonly downlink: Edge;
  readonly since: string | undefined;
  readonly evidence: string;
  readonly problem: string | undefined;
}

function word(status: SiteStatus): SiteLinks["word"] {
  const { desired = "Connected", freshDial = "Unknown", established = "Unknown" } = status.connectivity ?? {};
  if (desired !== "Connected") return freshDial === "Blocked" && established === "Closed" ? "Cut" : "Cutting";
  if (freshDial === "Open") return "Connected";
  return freshDial === "Blocked" ? "Healing" : "Unknown";
}

const late = (seconds: number | undefined): string =>
  seconds === undefined || seconds === 0 ? "" : duration(seconds * 1000);

/** WAL that holds no change of a table counts until it is confirmed, so a few bytes are no lag. */
const QUIET_BYTES = 16_384;

export function links(status: SiteStatus): SiteLinks {
  const desired = status.connectivity?.desired ?? "Connected";
  const { lagBytes, lagSeconds: upSeconds } = status.uplink ?? {};
  const { lagRecords, lagSeconds: downSeconds } = status.downlink ?? {};
  return {
    site: status.name,
    word: word(status),
    uplink: {
      cut: desired === "Cut" || desired === "UplinkCut",
      lag: lagBytes === undefined ? "?" : bytes(lagBytes),
      late: late(upSeconds),
      behind: (lagBytes ?? 0) > QUIET_BYTES || (upSeconds ?? 0) > 0,
    },
    downlink: {
      cut: desired === "Cut" || desired === "DownlinkCut",
      lag: lagRecords === undefined ? "?" : String(lagRecords),
      late: late(downSeconds),
      behind: (lagRecords ?? 0) > 0,
    },
    since: status.connectivity?.since ?? undefined,
    evidence: status.connectivity?.evidence ?? "",
    problem: status.problem,
  };
}

/** The same in a sentence. */
export function sentence(site: SiteLinks): string {
  const edge = (name: string, each: Edge, unit: string): string => {
    const lag = `${each.lag}${unit}${each.late === "" ? "" : ` for ${each.late}`}`;
    return each.cut ? `${name} cut, ${lag} waiting` : `${name} lag ${lag}`;
  };
  const problem = site.problem === undefined ? "" : `; ${site.problem}`;
  return `${site.site}: ${site.word.toLowerCase()}; ${edge("uplink", site.uplink, "")}; ${edge("downlink", site.downlink, " records")}${problem}`;
}
