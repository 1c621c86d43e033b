//! The stream of events: opened, resumed by the browser after a break, and opened anew where the browser gives up.

import type { Change, Cluster, HopEvent } from "./types.ts";

export interface Listener {
  change(changes: readonly Change[]): void;
  hop(hop: HopEvent): void;
  cluster(cluster: Cluster): void;
  /** Something may have been missed: read everything again. */
  reset(): void;
  state(state: "connecting" | "live" | "away", retryAt?: number): void;
}

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

export class Live {
  private source: EventSource | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private pause = FIRST_PAUSE;
  private changes: Change[] = [];
  private fresh = true;
  private readonly listener: Listener;

  constructor(listener: Listener) {
    this.listener = listener;
  }

  open(): void {
    this.close();
    this.listener.state("connecting");
    const source = new EventSource("/events");
    this.source = source;
    source.onopen = () => {
      this.pause = FIRST_PAUSE;
      this.listener.state("live");
      // A stream that the browser resumed says by itself (`reset`) if something was missed; a new one cannot know.
      if (this.fresh) this.listener.reset();
      this.fresh = false;
    };
    source.onerror = () => {
      // The browser resumes after a broken connection, with the last id; after an answer that is no stream it gives up.
      if (source.readyState === EventSource.CLOSED) this.later();
      else this.listener.state("away");
    };
    source.addEventListener("change", (event) => this.collect(JSON.parse(event.data) as Change));
    source.addEventListener("hop", (event) => this.listener.hop(JSON.parse(event.data) as HopEvent));
    source.addEventListener("cluster", (event) => this.listener.cluster(JSON.parse(event.data) as Cluster));
    source.addEventListener("reset", () => this.listener.reset());
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
    this.fresh = true;
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
