//! The live tail of topics: a stream of its own, bounded here too.

import { query, refusal } from "../api/client.ts";
import type { Message } from "../api/types.ts";
import { set, state } from "../store.ts";

const KEPT = 300;
let source: EventSource | undefined;
let waiting: Message[] = [];

/** Follows what the address asks for, and goes on with it where that is what is followed already. */
export function followTail(): void {
  const { tail: topics = "", contains = "" } = state.route.view === "topics" ? state.route.query : {};
  if (state.tail?.topics === topics && state.tail.filter === contains) return;
  closeTail();
  if (topics !== "") open(topics, contains);
}

function open(topics: string, contains: string): void {
  closeTail();
  set({ tail: { topics, filter: contains, state: "connecting", messages: [], dropped: 0, skipped: 0 } });
  const address = `/api/v1/tail${query({ topics, filter: contains })}`;
  const opened = new EventSource(address);
  source = opened;
  const become = (now: "connecting" | "live" | "away"): void => {
    if (state.tail !== null && source === opened) set({ tail: { ...state.tail, state: now } });
  };
  opened.onopen = () => become("live");
  opened.onerror = () => {
    become("away");
    // The browser gives up after an answer that is no stream, such as one too many tails.
    if (opened.readyState !== EventSource.CLOSED) return;
    void refusal(address).then((problem) => {
      if (problem !== undefined && state.tail !== null && source === opened) set({ tail: { ...state.tail, problem } });
    });
    setTimeout(() => source === opened && open(topics, contains), 3000);
  };
  opened.addEventListener("message", (event) => {
    waiting.push(JSON.parse(event.data) as Message);
    if (waiting.length === 1) setTimeout(show, 50);
  });
  opened.addEventListener("skipped", (event) => {
    const { messages } = JSON.parse(event.data) as { messages: number };
    if (state.tail !== null && source === opened)
      set({ tail: { ...state.tail, skipped: state.tail.skipped + messages } });
  });
}

function show(): void {
  const arrived = waiting;
  waiting = [];
  if (state.tail === null) return;
  const all = [...arrived.reverse(), ...state.tail.messages];
  set({
    tail: { ...state.tail, messages: all.slice(0, KEPT), dropped: state.tail.dropped + Math.max(0, all.length - KEPT) },
  });
}

export function closeTail(): void {
  source?.close();
  source = undefined;
  waiting = [];
  if (state.tail !== null) set({ tail: null });
}
