//! The page: wires state, address, events and drawing.

import "./style/index.css";
import { closeTail } from "./actions/topics.ts";
import { onArrival } from "./actions/navigate.ts";
import { arrive, everything, live, slowly, viewed } from "./actions/refresh.ts";
import { signIn, takeToken, whoAmI } from "./actions/session.ts";
import { recallTheme } from "./actions/theme.ts";
import { onUnauthorized } from "./api/client.ts";
import { render } from "./dom/vdom.ts";
import { onChange, set, type State, state } from "./store.ts";
import { page } from "./views/page.ts";

/** Between two attempts to reach a gateway that has not answered yet. */
const PAUSE = 2000;

/** From this width on sites stand side by side. */
const WIDE = matchMedia("(min-width: 720px)");

/** In the browser's tab: the word first, so that it can be seen from another one. */
function title({ cluster: { value } }: State): string {
  return value === undefined ? "SyncCluster" : `${value.convergence.word} · ${value.name} · SyncCluster`;
}

async function start(): Promise<void> {
  const container = document.querySelector("#app");
  if (container === null) return;
  recallTheme();
  const token = takeToken();
  onChange(() => {
    render(container, page(state));
    document.title = title(state);
  });
  set({ narrow: !WIDE.matches });
  WIDE.addEventListener("change", () => set({ narrow: !WIDE.matches }));
  onUnauthorized(() => {
    live.close();
    closeTail();
    set({ me: "out" });
  });
  onArrival(viewed);
  // Ages and countdowns go on though nothing happens.
  setInterval(() => set({ now: Date.now() }), 1000);
  setInterval(slowly, 5000);
  if (token !== undefined) {
    if (await signIn(token)) arrive();
    return;
  }
  // There may be a session: what it may see is asked for before whose it is, and shown as soon as either is told.
  everything();
  while (!(await whoAmI()) && state.me !== "out") {
    set({ connection: { state: "away", retryAt: Date.now() + PAUSE } });
    await new Promise((then) => setTimeout(then, PAUSE));
  }
  if (state.me !== "out") live.open();
}

void start();
