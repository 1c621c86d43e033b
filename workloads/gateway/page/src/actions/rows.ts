//! The rows of a table side by side: reading them, and what live events do to them.

import { call, Problem, query, segment } from "../api/client.ts";
import type { Change, HopEvent, SideBySide, SiteName, Table, Way } from "../api/types.ts";
import { appeared, changed, inserted, live, type LiveRow, present } from "../model/align.ts";
import { Readings } from "../model/readings.ts";
import { Trail } from "../model/trail.ts";
import { set, type State, state } from "../store.ts";

export const PAGE = 50;
export const trail = new Trail();

/** The table that is looked at: the one of the address, or the first. */
export function table(of: State = state): Table | undefined {
  const tables = of.tables.value ?? [];
  const named = of.route.query["table"];
  return named === undefined ? tables[0] : tables.find((each) => each.name === named);
}

function question(): string | undefined {
  // Where the address names it, nothing else need be known first.
  const name = state.route.query["table"] ?? table()?.name;
  if (name === undefined) return undefined;
  const { sites, filter, order, after, only } = state.route.query;
  return `/tables/${segment(name)}/rows${query({ sites, filter, order, after, only, limit: PAGE })}`;
}

/** Changes that came while the rows were read: the answer may be older than they are. */
let meanwhile: Change[] = [];
const readings = new Readings();

export async function readRows(): Promise<void> {
  const asked = question();
  if (asked === undefined) return;
  const mine = readings.begin(asked);
  const another = state.grid.asked.split("/rows")[0] !== asked.split("/rows")[0];
  if (another) trail.clear();
  if (state.grid.asked !== asked) meanwhile = [];
  set({ grid: { ...state.grid, asked, loading: true, ...(another ? { rows: [], next: null } : {}) } });
  try {
    const answer = await call<SideBySide>(asked);
    if (!readings.takes(mine)) return;
    const rows = answer.rows.map((row) => withDeletes(live(row)));
    const sites = [...answer.sites, ...Object.keys(answer.unreachable)].sort(bySite);
    const loading = !readings.isLast(mine);
    set({ grid: { asked, loading, sites, unreachable: answer.unreachable, rows, next: answer.next } });
    if (!loading) void readWays(asked, rows);
    // While it is read again they are kept for that answer too, and each has asked for a reading when it came.
    const replay = meanwhile;
    meanwhile = [];
    if (replay.length > 0) onChanges(replay, loading);
  } catch (thrown) {
    if (!readings.isLast(mine) || !readings.takes(mine)) return;
    const { asked: _, problem: __, ...rest } = state.grid;
    set({ grid: { ...rest, asked, loading: false, problem: Problem.of(thrown) } });
  }
}

const ordinal = (site: SiteName): number => (site === "server" ? 0 : Number(site.replace("client-", "")));
const bySite = (a: SiteName, b: SiteName): number => ordinal(a) - ordinal(b);

/** Those of the sites that are shown that could be asked: only they are compared. */
export function reached({ grid: { sites, unreachable } }: State): readonly SiteName[] {
  return sites.filter((site) => !(site in unreachable));
}

/** How far those rows have come that are not the same everywhere: what was captured before this page was opened no event tells it. */
async function readWays(asked: string, rows: readonly LiveRow[]): Promise<void> {
  const keys = rows.filter((row) => !row.equal).map((row) => row.key_path);
  if (keys.length === 0) return;
  try {
    const { ways } = await call<{ ways: Way[] }>(asked.replace(/\/rows.*/, "/ways"), {
      method: "POST",
      body: { keys },
    });
    for (const way of ways) trail.way(way);
    set({});
  } catch {
    // The marks stay without what it would have said.
  }
}

/** What was seen to be deleted stays known over a reading. */
function withDeletes(row: LiveRow): LiveRow {
  const before = state.grid.rows.find((other) => other.key_path === row.key_path);
  return before === undefined ? row : { ...row, gone: before.gone };
}

const PAUSE = 400;
let soon: ReturnType<typeof setTimeout> | undefined;
let lastRead = 0;

/** Reads again: at once, and while reasons keep coming once a pause. */
export function readRowsSoon(): void {
  soon ??= setTimeout(
    () => {
      soon = undefined;
      lastRead = performance.now();
      void readRows();
    },
    Math.max(0, lastRead + PAUSE - performance.now()),
  );
}

/** Whether a row that appears can be placed here, or only the gateway knows if and where it belongs. */
function plain(): boolean {
  const { filter, order, only, after } = state.route.query;
  return [filter, order, only, after].every((parameter) => parameter === undefined);
}

export function onChanges(changes: readonly Change[], isReadAgain = false): void {
  const chosen = table();
  let { rows } = state.grid;
  const { sites, next, loading, unreachable } = state.grid;
  const compared = reached(state);
  const isWhole = ({ row }: Change): boolean =>
    row === null || chosen?.columns.every(({ name }) => name in row.values) !== false;
  let again = false;
  for (const change of changes) {
    if (chosen === undefined || change.table !== chosen.name || !sites.includes(change.site)) continue;
    trail.change(change);
    if (loading) meanwhile.push(change);
    const index = rows.findIndex((row) => row.key_path === change.key_path);
    // A site that is heard of can be asked again; and an event may lack a column that its site could not compute.
    if (change.site in unreachable || !isWhole(change)) again = true;
    if (change.truncated === true) again = true;
    else if (index >= 0) {
      const row = rows[index] as LiveRow;
      const after = changed(row, change, compared);
      if (after !== row) rows = rows.with(index, after);
    } else if (change.op !== "d") {
      if (plain()) {
        const page = inserted(rows, appeared(change, compared), chosen.key, next !== null, PAGE);
        rows = page.rows;
        again ||= page.over;
      } else again = true;
    }
    // Which rows these are, and in which order, only the gateway knows.
    const { only, filter, order } = state.route.query;
    if (only !== undefined || filter !== undefined || order !== undefined) again = true;
  }
  set({ grid: { ...state.grid, rows: present(rows, sites) } });
  if (again && !isReadAgain) readRowsSoon();
}

export function onHop(hop: HopEvent): void {
  if (hop.table !== table()?.name) return;
  trail.hop(hop);
  set({});
}

export function rowAt(keyPath: string): LiveRow | undefined {
  return state.grid.rows.find((row) => row.key_path === keyPath);
}
