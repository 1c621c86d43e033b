//! The stream of events: opened, resumed by the browser after a break, and opened anew where the browser gives up.

import { type Problem, query, refusal } from "./client.ts";
import type { Change, Cluster, HopEvent } from "./types.ts";

export interface Listener {
  change(changes: readonly Change[]): void;
  hop(hop: HopEvent): void;
  cluster(cluster: Cluster): void;
  /** Something may have been missed, at one site or anywhere: read again. */
  reset(site?: string): void;
  state(state: "connecting" | "live" | "away", retryAt?: number, problem?: Problem): void;
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
    const address = `/events${query({ last_event_id: this.last })}`;
    const source = new EventSource(address);
    this.source = source;
    source.onopen = () => {
      this.pause = FIRST_PAUSE;
      this.listener.state("live");
    };
    source.onerror = () => {
      // The browser resumes after a broken connection, with the last id; after an answer that is no stream it gives up.
      if (source.readyState === EventSource.CLOSED) {
        const retryAt = this.later();
        this.listener.refused();
        void refusal(address).then((problem) => {
          if (problem !== undefined && this.source === undefined) this.listener.state("away", retryAt, problem);
        });
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

  private later(): number {
    this.close();
    const retryAt = Date.now() + this.pause;
    this.listener.state("away", retryAt);
    this.retry = setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(LONGEST_PAUSE, this.pause * 2);
    return retryAt;
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
