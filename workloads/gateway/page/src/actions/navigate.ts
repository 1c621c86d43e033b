//! The address holds the view: going somewhere is changing the fragment.

import { formatRoute, parseRoute, type View, withQuery } from "../model/route.ts";
import { set, state } from "../store.ts";

let arrived: () => void = () => undefined;

export function onArrival(then: () => void): void {
  arrived = then;
  addEventListener("hashchange", () => {
    set({ route: parseRoute(location.hash), editing: null });
    arrived();
  });
}

export function show(view: View, query: Record<string, string> = {}): void {
  location.hash = formatRoute({ view, query });
}

/** Changes parameters of the view. `quietly` leaves no step for the back button: for what is typed or unfolded. */
export function look(changes: Record<string, string | undefined>, quietly = false): void {
  const route = withQuery(state.route, changes);
  const hash = formatRoute(route);
  if (!quietly) {
    location.hash = hash;
    return;
  }
  history.replaceState(null, "", hash);
  set({ route });
  arrived();
}
