//! What is read when: on arrival at a view, when the stream of events says that something may have been missed, and now and then
//! what has no events.

import { call, query, segment, send } from "../api/client.ts";
import { Live } from "../api/live.ts";
import type { Cluster, Component, Group, MessagePage, Site, Table, Topic, Way } from "../api/types.ts";
import { rowSegment } from "../model/key.ts";
import { set, state } from "../store.ts";
import { followCounters, readCounters } from "./counters.ts";
import { load, read } from "./load.ts";
import { whoAmI } from "./session.ts";
import { partitionSeen } from "./partition.ts";
import { followTail } from "./topics.ts";
import { onChanges, onHop, readRows, readRowsSoon, table } from "./rows.ts";

const signedIn = (): boolean => state.me !== "out";

export const live = new Live({
  change: (changes) => {
    onChanges(changes);
    if (changes.some(({ key_path: key }) => key === state.route.query["row"])) readWaySoon();
  },
  hop: (hop) => {
    onHop(hop);
    if (hop.key_path === state.route.query["row"]) readWaySoon();
  },
  cluster: (cluster) => {
    const before = counted(state.cluster.value);
    set({ cluster: { value: cluster, loading: false } });
    partitionSeen();
    if (state.route.view === "conflicts" && counted(cluster) !== before) readConflicts();
  },
  // Followers of several sites begin together.
  reset: (site) => (site === undefined ? everything() : state.route.view === "sites" && readRowsSoon()),
  refused: () => void whoAmI(),
  state: (connection, retryAt, problem = state.connection.problem) => {
    const was = state.connection.state;
    // Away until it is live again, however often it is tried; and for the reason that was said last.
    set({
      connection: {
        state: connection === "connecting" && was === "away" ? was : connection,
        ...(retryAt === undefined ? {} : { retryAt }),
        ...(problem === undefined || connection === "live" ? {} : { problem }),
      },
    });
    if (connection !== "live") return;
    // What has no events may have changed too; and what was read before the stream began may be older than it.
    if (was === "away") everything();
    else if (state.route.view === "sites") readRowsSoon();
  },
});

const counted = (cluster: Cluster | undefined): string =>
  JSON.stringify(cluster?.sites.map((site) => [site.conflicts, site.parked]));

/** Begins once somebody is signed in. */
export function arrive(): void {
  everything();
  live.open();
}

/**
 * First what the view waits for: a browser opens few connections, and each takes its time. Sites and counter nodes are asked when the gateway has
 * told what it knows by itself: one that does not answer keeps a connection for seconds, and nothing waits for what they say.
 */
export function everything(): void {
  const isNamed = state.route.view !== "sites" || state.route.query["table"] !== undefined;
  if (isNamed) viewed();
  const tables = readTables();
  if (!isNamed) void tables.then(viewed);
  void load("cluster", "/cluster").then(() => {
    // Where it is asked again, what follows is for that answer.
    if (!signedIn() || state.cluster.loading) return;
    readSites();
    if (state.route.view !== "counters") void readCounters();
  });
}

function readTables(): Promise<void> {
  return load("tables", "/tables", (tables: Table[]) => tables);
}

function readSites(): void {
  void load("sites", "/sites", (sites: Site[]) => sites);
}

/** What the view shows that is looked at now. */
export function viewed(): void {
  if (!signedIn()) return;
  const { view } = state.route;
  followTail();
  void followCounters();
  if (view === "sites") {
    void readRows();
    readWay();
  } else if (view === "conflicts") readConflicts();
  else if (view === "topics") readTopics();
  else if (view === "components") readComponents();
}

export function readWay(): void {
  const { row, table: name = table()?.name } = state.route.query;
  if (name === undefined || row === undefined) set({ way: { loading: false } });
  else void load("way", `/tables/${segment(name)}/rows/${rowSegment(row)}/way`, (way: Way) => way);
}

let waySoon: ReturnType<typeof setTimeout> | undefined;

function readWaySoon(): void {
  waySoon ??= setTimeout(() => {
    waySoon = undefined;
    readWay();
  }, 200);
}

export function readConflicts(): void {
  const { site, table: name, kind, after, waiting } = state.route.query;
  void load("conflicts", `/conflicts${query({ site, table: name, kind, after, limit: 50 })}`);
  void load("parked", `/parked${query({ site, table: name, after: waiting, limit: 50 })}`);
}

export function readTopics(): void {
  const { topic, from, key, partition, group } = state.route.query;
  void load("topics", "/topics", (topics: Topic[]) => topics);
  void read("groups", async (signal) => {
    const groups = await call<Group[]>("/groups", { signal });
    if (group === undefined) return groups;
    const one = await call<Group>(`/groups/${segment(group)}`, { signal });
    return groups.map((each) => (each.group === group ? { ...each, ...one } : each));
  });
  if (topic === undefined) return;
  void load("topic", `/topics/${segment(topic)}`);
  void load(
    "messages",
    `/topics/${segment(topic)}/messages${query({ partition, from: from ?? "end", key, limit: 50 })}`,
    (answer: MessagePage) => answer,
  );
}

export function readComponents(): void {
  void load("components", "/components", (components: Component[]) => components);
  if (state.logs.value === undefined || logsOf !== logsPath()) readLogs();
}

let logsOf: string | undefined;

function logsPath(): string | undefined {
  const { pod, container, lines, previous } = state.route.query;
  return pod === undefined
    ? undefined
    : `/components/${segment(pod)}/logs${query({ container, lines: lines ?? "200", previous })}`;
}

export function readLogs(): void {
  const path = logsPath();
  if (path !== logsOf) set({ logs: { loading: false } });
  logsOf = path;
  if (path !== undefined) void read("logs", async (signal) => (await send(path, { signal })).text());
}

/** What has no events, read again while somebody looks at it. */
export function slowly(): void {
  if (!signedIn() || document.hidden || state.connection.state !== "live") return;
  const { view, query: looking } = state.route;
  if (view === "components") readComponents();
  // What is searched for a key takes the gateway longer than what is at the end.
  else if (view === "topics" && (looking["from"] ?? "end") === "end" && looking["key"] === undefined) readTopics();
  else if (view === "conflicts") readConflicts();
  else if (view === "sites") {
    readSites();
    void readTables();
    // A gateway that has just started learns when a write passed without telling of it: that is no news.
    if (state.way.value?.hops.some(({ at }) => at === null) === true) readWay();
  }
}
