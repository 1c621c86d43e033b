//! The stream of events: opened, resumed by the browser after a break, and opened anew where the browser gives up.

import { query } from "./client.ts";
import type { Change, Cluster, HopEvent } from "./types.ts";

export interface Listener {
  change(changes: readonly Change[]): void;
  hop(hop: HopEvent): void;
  cluster(cluster: Cluster): void;
  /** Something may have been missed, at one site or anywhere: read again. */
  reset(site?: string): void;
  state(state: "connecting" | "live" | "away", retryAt?: number): void;
  /** The stream was refused: the session may be over. */
  refused(): void;
}

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

export class Live {
  private source: EventSource | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private pause = FIRST_PAUSE;
  private changes: Change[] = [];
  private last: string | undefined;
  private readonly listener: Listener;

  constructor(listener: Listener) {
    this.listener = listener;
  }

  open(): void {
    this.close();
    this.listener.state("connecting");
    const source = new EventSource(`/events${query({ last_event_id: this.last })}`);
    this.source = source;
    source.onopen = () => {
      this.pause = FIRST_PAUSE;
      this.listener.state("live");
    };
    source.onerror = () => {
      // The browser resumes after a broken connection, with the last id; after an answer that is no stream it gives up.
      if (source.readyState === EventSource.CLOSED) {
        this.later();
        this.listener.refused();
      } else this.listener.state("away");
    };
    const on = <T>(type: string, then: (data: T) => void): void =>
      source.addEventListener(type, (event) => {
        if (event.lastEventId !== "") this.last = event.lastEventId;
        then(JSON.parse(event.data) as T);
      });
    on<Change>("change", (change) => this.collect(change));
    on<HopEvent>("hop", (hop) => this.listener.hop(hop));
    on<Cluster>("cluster", (cluster) => this.listener.cluster(cluster));
    on<{ site?: string }>("reset", ({ site }) => this.listener.reset(site));
  }

  /** Now, and not when the pause is over. */
  again(): void {
    this.pause = FIRST_PAUSE;
    this.open();
  }

  close(): void {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = undefined;
  }

  private later(): void {
    this.close();
    this.listener.state("away", Date.now() + this.pause);
    this.retry = setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(LONGEST_PAUSE, this.pause * 2);
  }

  /** Changes come in bursts, a transaction at a time; they are handed on together. */
  private collect(change: Change): void {
    this.changes.push(change);
    if (this.changes.length > 1) return;
    setTimeout(() => {
      const changes = this.changes;
      this.changes = [];
      this.listener.change(changes);
    }, 10);
  }
}
