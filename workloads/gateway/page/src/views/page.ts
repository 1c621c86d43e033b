//! The whole page.

import { live } from "../actions/refresh.ts";
import { button, loading, problemBox } from "../dom/parts.ts";
import { icon } from "../dom/icons.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import { duration } from "../model/time.ts";
import { dismiss, type State } from "../store.ts";
import { componentsView } from "./components.ts";
import { conflictsView } from "./conflicts.ts";
import { countersView } from "./counters.ts";
import { dialogs } from "./dialogs.ts";
import { header, navigation } from "./header.ts";
import { signInForm } from "./signin.ts";
import { sitesView } from "./sites.ts";
import { topicsView } from "./topics.ts";

const VIEWS = {
  sites: sitesView,
  conflicts: conflictsView,
  counters: countersView,
  topics: topicsView,
  components: componentsView,
};

function away({ connection: { state, retryAt, problem }, now }: State): Child {
  if (state !== "away") return null;
  const next =
    retryAt === undefined || retryAt <= now ? "Trying again…" : `Trying again in ${duration(retryAt - now)}.`;
  return h(
    "div.banner",
    { role: "alert", key: "away" },
    icon("cut"),
    h(
      "span.grow",
      null,
      problem === undefined
        ? "The gateway does not answer. What you see is how it was. "
        : `The gateway tells no changes: ${problem.message}. What you see is how it was. `,
      h("span", { "aria-hidden": "true" }, next),
    ),
    button("Try now", { onclick: () => live.again() }),
  );
}

function toasts(state: State): VNode {
  return h(
    "div.toasts",
    { role: "status", "aria-live": "polite" },
    state.toasts.map((toast) => {
      const { action } = toast;
      const run =
        action === undefined
          ? null
          : button(action.label, {
              onclick: () => {
                dismiss(toast.id);
                action.run();
              },
            });
      return h(
        `div.toast.${toast.tone}`,
        { key: String(toast.id) },
        icon(toast.tone === "done" ? "check" : "differs"),
        h("span.grow", null, toast.text),
        run,
        button("Dismiss", { icon: "close", bare: true, tone: "quiet", onclick: () => dismiss(toast.id) }),
      );
    }),
  );
}

export function page(state: State): Child {
  if (state.me === "out") return [signInForm(state), toasts(state)];
  // Whoever is given an answer is somebody: what he sees does not wait for what he may do.
  const isAnswered = state.cluster.value !== undefined || state.tables.value !== undefined;
  if (state.me === "unknown" && !isAnswered)
    return [away(state), h("main", { id: "main" }, h("h1.aloud", null, "SyncCluster"), loading("who you are"))];
  const title = state.cluster.value === undefined ? "SyncCluster" : `SyncCluster ${state.cluster.value.name}`;
  return [
    h("a.skip", { href: "#main", onclick: skip }, "Skip to the content"),
    header(state),
    navigation(state),
    away(state),
    h(
      "main",
      { id: "main", tabindex: "-1" },
      h("h1.aloud", null, `${title}: ${state.route.view}`),
      state.cluster.problem?.kind === "not-in-kubernetes"
        ? null
        : problemBox(state.cluster.problem, () => live.again()),
      VIEWS[state.route.view](state),
    ),
    dialogs(state),
    toasts(state),
  ];
}

/** The fragment is the view's; so the jump is made here. */
function skip(event: Event): void {
  event.preventDefault();
  document.querySelector<HTMLElement>("#main")?.focus();
}
