//! Likes: what the nodes count, and the windows as they move.

import { call, Problem, query } from "../api/client.ts";
import type { Counters, Totals, Windows } from "../api/types.ts";
import { firstIds, type Known, type Total } from "../model/totals.ts";
import { type Aggregation, merge, type WindowName, WINDOWS } from "../model/windows.ts";
import { say, set, state } from "../store.ts";
import { load, read } from "./load.ts";

/** Ids that are shown at once; the address of their stream has to hold them. */
export const PAGE = 12;
/** What is counted without a window's change (Kafka may be away) is read so often. */
const EVERY = 2000;
/** And after a change not before so long. */
const SOON = 300;
/** So often a like is sent again that nobody answered: with the same name it counts once. */
const TRIES = 3;

/** A node that is gone does not keep the others' totals waiting for longer; one that is only slow is not called silent. */
const ANSWER = 2500;
/** In place of the ordinal of a node that nobody has told. */
const ANY = -1;

let source: EventSource | undefined;
let following = "";
/** The stream was broken: windows may have changed that it does not tell again. */
let missed = false;
let timer: ReturnType<typeof setTimeout> | undefined;

const ids = (): readonly string[] => state.totals.value?.ids ?? [];
/** The id whose windows are shown. */
export const chosen = (): string | undefined => state.route.query["id"] ?? ids()[0];

export function readCounters(): Promise<void> {
  return load("counters", "/counters", (counters: Counters) => counters);
}

/** What the view shows; goes on by itself while it is looked at. */
export async function followCounters(): Promise<void> {
  clearTimeout(timer);
  timer = undefined;
  if (state.route.view !== "counters" || state.me === "out") {
    close();
    return;
  }
  await readCounters();
  if (state.counters.problem?.kind === "counters-off") return close();
  await readTotals();
  await readWindows();
  follow();
  again(EVERY);
}

function again(after: number): void {
  timer ??= setTimeout(() => {
    timer = undefined;
    if (document.hidden) again(EVERY);
    else void followCounters();
  }, after);
}

async function inTime<T>(answer: Promise<T>): Promise<T> {
  const late = new Promise<never>((_, reject) => setTimeout(() => reject(new Error("no answer in time")), ANSWER));
  return Promise.race([answer, late]);
}

/** Each node is asked for itself: one that is cut off knows something else. While nobody says which there are, any of them is. */
function readTotals(): Promise<void> {
  const { prefix, after } = state.route.query;
  const page = query({ prefix, after, limit: PAGE });
  return read("totals", async (signal) => {
    const ask = async (path: string): Promise<ReadonlyMap<string, Total>> => {
      const { totals } = await call<Totals>(`${path}${page}`, { signal });
      return new Map(totals.map((total) => [total.id, total]));
    };
    const nodes = state.counters.value?.nodes.map(({ node }) => node) ?? [];
    const answers = await Promise.allSettled(nodes.map((node) => inTime(ask(`/counters/${node}/totals`))));
    const answered = answers.map((answer) => (answer.status === "fulfilled" ? answer.value : undefined));
    const entries = nodes.map((node, index) => [node, answered[index]] as const);
    const known: Known = Object.fromEntries(
      answered.some((totals) => totals !== undefined) ? entries : [...entries, [ANY, await ask("/totals")]],
    );
    return { ids: firstIds(known, PAGE), known };
  });
}

async function readWindows(): Promise<void> {
  const id = chosen();
  const { value } = state.windows;
  const counted = state.counters.value?.windows;
  if (id === undefined || counted === undefined) return;
  // What is not complete is asked for again.
  const isWhole = value !== undefined && value.complete.length === Object.keys(value.series).length;
  if (isWhole && value.id === id && !missed) return;
  missed = false;
  await read("windows", async (signal) => {
    const ask = ({ name }: { name: WindowName }): Promise<Windows> =>
      call<Windows>(`/aggregations/${name}${query({ id })}`, { signal });
    const answers = await Promise.all(WINDOWS.filter(({ name }) => counted.includes(name)).map(ask));
    const of = (answer: Windows): readonly Aggregation[] => answer.ids[0]?.windows ?? [];
    const skew = (answers[0]?.now ?? Date.now()) - Date.now();
    const series = Object.fromEntries(answers.map((answer) => [answer.window, of(answer)]));
    return { id, skew, series, complete: answers.filter(({ complete }) => complete).map(({ window }) => window) };
  });
}

/** The windows of everything that is shown, as they change. */
function follow(): void {
  const id = chosen();
  const others = ids().filter((other) => other !== id && !other.includes(","));
  const wanted = query({ id, ids: others.join(",") });
  if (wanted === following && source?.readyState !== EventSource.CLOSED) return;
  close();
  if (wanted === "") return;
  following = wanted;
  const opened = new EventSource(`/api/v1/aggregations${wanted}`);
  source = opened;
  opened.onerror = () => {
    missed = true;
  };
  opened.addEventListener("aggregation", (event) => {
    const changed = JSON.parse(event.data) as Aggregation & { window: WindowName };
    const { value } = state.windows;
    if (value !== undefined && value.id === changed.id) {
      const series = { ...value.series, [changed.window]: merge(value.series[changed.window] ?? [], changed) };
      set({ windows: { ...state.windows, value: { ...value, series } } });
    }
    if (changed.updated_at !== changed.window_start) soon();
  });
}

/** What was just counted is read a moment later, together with what comes until then. */
let due = false;
function soon(): void {
  if (due || document.hidden) return;
  due = true;
  setTimeout(() => {
    due = false;
    if (state.route.view === "counters") void readTotals();
  }, SOON);
}

function close(): void {
  source?.close();
  source = undefined;
  following = "";
}

const me = crypto.getRandomValues(new Uint32Array(2)).join("-");
let sent = 0;

/** One more, or one less. */
export async function like(id: string, direction: "likes" | "unlikes" = "likes"): Promise<boolean> {
  const by = typeof state.me === "object" ? state.me.name : "somebody";
  const body = { id, by: by.slice(0, 32), n: 1, request: `page-${me}/${++sent}` };
  for (let tried = 1; ; tried++) {
    try {
      await call<unknown>(`/${direction}`, { method: "POST", body });
      void readTotals();
      return true;
    } catch (thrown) {
      const problem = Problem.of(thrown);
      const mayHelp = problem.status === 0 || problem.status === 503;
      if (mayHelp && tried < TRIES) {
        await new Promise((then) => setTimeout(then, 500 * tried));
        continue;
      }
      say("failed", `${id} was not counted: ${problem.message}`);
      return false;
    }
  }
}
