//! What the REST API and the events carry. 64-bit integers are strings: a number here ends at 2^53.

export type Cell = null | boolean | number | string;
export type Values = Record<string, Cell>;
export type SiteName = string;

export interface Me {
  name: string;
  role: "Editor" | "Viewer";
}

export interface Convergence {
  word: "Converged" | "Converging" | "Cut" | "Differs" | "Unknown";
  digest: string | null;
  rows: number | string | null;
  since: string | null;
  heal_seconds: number | null;
  detail: string | null;
}

export interface Condition {
  type: string;
  status: "True" | "False" | "Unknown";
  reason: string;
  message: string;
  last_transition_time: string;
}

/** An entry of the SyncCluster's status.sites, named as Kubernetes names things. */
export interface SiteStatus {
  name: SiteName;
  connectivity?: {
    desired?: "Connected" | "Cut" | "UplinkCut" | "DownlinkCut";
    freshDial?: "Unknown" | "Open" | "Blocked" | "Refused";
    established?: "Unknown" | "Open" | "Closed";
    since?: string | null;
    probedAt?: string | null;
    evidence?: string;
  };
  uplink?: { lagBytes?: number; lagSeconds?: number; slot?: { active: boolean; walStatus: string; retainedBytes: number } };
  downlink?: { lagRecords?: number; lagSeconds?: number };
  digest?: string;
  conflicts?: number;
  parked?: number;
  problem?: string;
}

export type Link = "Both" | "Uplink" | "Downlink";

/** spec.partition as it stands in the resource. */
export interface Partition {
  clients?: number[];
  server?: boolean;
  link?: Link;
  healAfter?: string | null;
  heal_after?: string | null;
}

export interface Cluster {
  name: string;
  namespace: string | null;
  generation?: number;
  clients: number;
  paused: boolean;
  conditions: Condition[];
  sites: SiteStatus[];
  partition: Partition | null;
  convergence: Convergence;
}

export interface PartitionAnswer {
  partition: Partition | null;
  kubectl: string;
}

export interface Site {
  name: SiteName;
  role: "server" | "client";
  reachable: boolean;
  error?: string;
  postgres_version?: string;
}

export interface Column {
  name: string;
  type: string;
  nullable: boolean;
  default: string | null;
  generated: boolean | string | null;
  identity: boolean | string | null;
  in_key: boolean;
  enum_values?: string[] | null;
}

export interface Table {
  name: string;
  key: string[];
  columns: Column[];
}

export interface Row {
  key: Values;
  key_path: string;
  values: Values;
  version: string;
  parent: string | null;
  written_at: string;
  written_at_site: SiteName;
}

export interface AlignedRow {
  key: Values;
  key_path: string;
  equal: boolean;
  cells: Record<SiteName, Row | null>;
}

export interface SideBySide {
  sites: SiteName[];
  unreachable: Record<SiteName, string>;
  rows: AlignedRow[];
  next: string | null;
}

export interface Hop {
  hop: "local" | "captured" | "in_kafka" | "applied";
  site: SiteName;
  state: "done" | "pending" | "unknown";
  at: string | null;
  detail?: string | null;
}

export interface Way {
  key: Values;
  version: string;
  settled: boolean;
  hops: Hop[];
}

export interface Conflict {
  site: SiteName;
  id: string;
  at: string;
  table: string;
  key: Values;
  kind: string;
  policy: string;
  winner: Record<string, unknown> | null;
  winner_version: string;
  loser: Record<string, unknown> | null;
  loser_version: string;
  topic: string;
  reapplied_at: string | null;
}

export interface Parked {
  site: SiteName;
  id: string;
  at: string;
  topic: string;
  table: string;
  event: unknown;
  reason: string;
  tried_at: string;
  asked_at: string | null;
}

export interface TopicPartition {
  id: number;
  leader: number;
  replicas: number[] | number;
  low: string;
  high: string;
}

export interface Topic {
  name: string;
  partitions: TopicPartition[];
  internal: boolean;
  configuration?: { name: string; value: string | null; default: boolean; sensitive: boolean }[];
}

export interface Message {
  topic?: string;
  partition: number;
  offset: string;
  at: string | null;
  key: unknown;
  value: unknown;
  headers?: unknown;
  size: number;
  tombstone: boolean;
  op?: string | null;
  table?: string | null;
  changed?: string[] | null;
}

export interface Group {
  group: string;
  state: string;
  members: number | unknown[];
  kind: "consumer" | "sink";
  offsets?: { topic: string; partition: number; offset: string | null; end: string; lag: string | number | null }[];
}

export interface Component {
  name: string;
  component: string;
  site: SiteName | null;
  phase: string;
  ready: boolean;
  restarts: number;
  started_at: string | null;
  node: string | null;
  containers: string[];
  message?: string | null;
}

/** A row was written at a site, or applied there. */
export interface Change {
  site: SiteName;
  table: string;
  op: "c" | "u" | "d";
  key: Values;
  key_path: string;
  version: string | null;
  parent: string | null;
  row: Row | null;
  at: string;
  applied: boolean;
  truncated?: boolean;
}

/** A version was seen on its way. */
export interface HopEvent {
  table: string;
  key: Values;
  key_path: string;
  version: string;
  hop: "captured" | "in_kafka";
  site: SiteName;
  at: string;
}
