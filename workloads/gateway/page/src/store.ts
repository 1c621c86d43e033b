//! All that the page knows, in one place; whoever changes it has it drawn again with the next frame.

import type { Problem } from "./api/client.ts";
import type {
  Book,
  Cell,
  Cluster,
  Component,
  Conflict,
  Counters,
  Group,
  Me,
  Message,
  MessagePage,
  Parked,
  Partition,
  Row,
  Site,
  SiteName,
  Table,
  Topic,
  Way,
} from "./api/types.ts";
import type { LiveRow } from "./model/align.ts";
import { parseRoute, type Route } from "./model/route.ts";
import type { Known } from "./model/totals.ts";
import type { Aggregation, WindowName } from "./model/windows.ts";

/** Something read from the gateway. The last value stays while it is read again. */
export interface Loaded<T> {
  readonly value?: T;
  readonly problem?: Problem;
  readonly loading: boolean;
}

export interface Connection {
  readonly state: "connecting" | "live" | "away";
  /** When it will be tried again. */
  readonly retryAt?: number;
  /** Why the gateway refused it; absent where it does not answer. */
  readonly problem?: Problem;
}

export interface Grid {
  /** What the rows are an answer to; an answer to something else comes too late. */
  readonly asked: string;
  readonly loading: boolean;
  readonly problem?: Problem;
  /** In their order, those that could not be asked among them. */
  readonly sites: readonly SiteName[];
  readonly unreachable: Readonly<Record<SiteName, string>>;
  readonly rows: readonly LiveRow[];
  readonly next: string | null;
}

/** A cell that is being changed. */
export interface Editing {
  readonly site: SiteName;
  readonly keyPath: string;
  readonly column: string;
  /** Of the row as it was when this began: what is saved must not overwrite what came since. */
  readonly version: string;
  readonly begun: Cell;
  readonly saving: boolean;
  readonly problem?: Problem;
}

export type Dialog =
  | {
      readonly kind: "changed-since";
      readonly table: string;
      readonly site: SiteName;
      readonly keyPath: string;
      readonly mine: Record<string, Cell>;
      readonly current: Row;
    }
  | { readonly kind: "overtaken"; readonly conflict: Conflict; readonly current: Row | null }
  | { readonly kind: "insert"; readonly site: SiteName; readonly saving: boolean; readonly problem?: Problem }
  | { readonly kind: "delete"; readonly site: SiteName; readonly row: Row };

export interface Toast {
  readonly id: number;
  readonly tone: "done" | "failed";
  readonly text: string;
  readonly action?: { readonly label: string; readonly run: () => void };
}

export interface Tail {
  readonly topics: string;
  readonly filter: string;
  readonly state: "connecting" | "live" | "away";
  readonly messages: readonly Message[];
  /** Older ones that are not kept. */
  readonly dropped: number;
  /** Those that the gateway left out, since there were too many. */
  readonly skipped: number;
  readonly problem?: Problem;
}

export interface State {
  readonly me: Me | "unknown" | "out";
  readonly signIn: { readonly busy: boolean; readonly problem?: Problem };
  readonly route: Route;
  readonly connection: Connection;
  readonly cluster: Loaded<Cluster>;
  readonly sites: Loaded<readonly Site[]>;
  readonly tables: Loaded<readonly Table[]>;
  readonly partition: {
    readonly busy: boolean;
    readonly value?: Partition | null;
    /** Of the value. */
    readonly version?: string;
    readonly problem?: Problem;
  };
  /** For the next cut: how long, null for until it is healed by hand. */
  readonly healAfter: string | null;
  readonly grid: Grid;
  readonly editing: Editing | null;
  /** The cell of the grid that the keyboard is at. */
  readonly active: string | null;
  readonly way: Loaded<Way>;
  readonly conflicts: Loaded<Book & { readonly conflicts: readonly Conflict[] }>;
  readonly reapplied: Readonly<
    Record<
      string,
      {
        readonly busy: boolean;
        readonly row?: Row | null;
        readonly leftOut?: readonly string[];
        readonly problem?: Problem;
      }
    >
  >;
  readonly parked: Loaded<Book & { readonly parked: readonly Parked[] }>;
  readonly counters: Loaded<Counters>;
  /** What each counter node says, and the ids that are shown of it. */
  readonly totals: Loaded<{ readonly ids: readonly string[]; readonly known: Known }>;
  /** The windows of one id. The gateway's clock is ahead of this one by `skew`. */
  readonly windows: Loaded<{
    readonly id: string;
    readonly skew: number;
    /** Of the windows that are counted. */
    readonly series: Readonly<Partial<Record<WindowName, readonly Aggregation[]>>>;
    /** Those of which all is known that was counted. */
    readonly complete: readonly WindowName[];
  }>;
  readonly topics: Loaded<readonly Topic[]>;
  readonly topic: Loaded<Topic>;
  readonly messages: Loaded<MessagePage>;
  readonly tail: Tail | null;
  readonly groups: Loaded<readonly Group[]>;
  readonly components: Loaded<readonly Component[]>;
  readonly logs: Loaded<string>;
  readonly dialog: Dialog | null;
  readonly toasts: readonly Toast[];
  readonly narrow: boolean;
  readonly now: number;
}

export const NOTHING = { loading: false } as const;

export let state: State = {
  me: "unknown",
  signIn: { busy: false },
  route: parseRoute(location.hash),
  connection: { state: "connecting" },
  cluster: NOTHING,
  sites: NOTHING,
  tables: NOTHING,
  partition: { busy: false },
  healAfter: null,
  grid: { asked: "", loading: false, sites: [], unreachable: {}, rows: [], next: null },
  editing: null,
  active: null,
  way: NOTHING,
  conflicts: NOTHING,
  reapplied: {},
  parked: NOTHING,
  counters: NOTHING,
  totals: NOTHING,
  windows: NOTHING,
  topics: NOTHING,
  topic: NOTHING,
  messages: NOTHING,
  tail: null,
  groups: NOTHING,
  components: NOTHING,
  logs: NOTHING,
  dialog: null,
  toasts: [],
  narrow: false,
  now: Date.now(),
};

let draw: () => void = () => undefined;
let scheduled = false;

export function onChange(then: () => void): void {
  draw = then;
}

export function set(change: Partial<State>): void {
  state = { ...state, ...change };
  if (scheduled) return;
  scheduled = true;
  const run = (): void => {
    scheduled = false;
    draw();
  };
  // A tab in the background gets no frames.
  if (document.hidden) setTimeout(run, 50);
  else requestAnimationFrame(run);
}

/** Draws at once what has changed: where the next key must find what this one opened. */
export function drawNow(): void {
  draw();
}

/** Whether this person may change anything. */
export function mayEdit(): boolean {
  return typeof state.me === "object" && state.me.role === "Editor";
}

/** Whether this person may only look; nobody knows that before the gateway has said who it is. */
export function isViewer(): boolean {
  return typeof state.me === "object" && state.me.role !== "Editor";
}

let toasts = 0;

/** Says something in the corner for a while. */
export function say(tone: Toast["tone"], text: string, action?: Toast["action"]): void {
  const toast: Toast = { id: ++toasts, tone, text, ...(action === undefined ? {} : { action }) };
  set({ toasts: [...state.toasts.slice(-3), toast] });
  setTimeout(() => dismiss(toast.id), tone === "failed" || action !== undefined ? 12_000 : 5000);
}

export function dismiss(id: number): void {
  set({ toasts: state.toasts.filter((toast) => toast.id !== id) });
}
