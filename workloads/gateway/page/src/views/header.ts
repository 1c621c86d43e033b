//! The top of the page: one word for all sites, and who is looking.

import type { Cluster } from "../api/types.ts";
import { signOut } from "../actions/session.ts";
import { chooseTheme, type Theme, theme } from "../actions/theme.ts";
import { button, tag, time, type Tone } from "../dom/parts.ts";
import { icon, type IconName } from "../dom/icons.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import { duration } from "../model/time.ts";
import { formatRoute, type View, VIEWS } from "../model/route.ts";
import type { State } from "../store.ts";

type Word = Cluster["convergence"]["word"];

const WORDS: Record<Word, { readonly tone: Tone; readonly sign: IconName; readonly meaning: string }> = {
  Converged: {
    tone: "good",
    sign: "check",
    meaning: "Nothing is on its way, and every site was measured to hold the same rows.",
  },
  Converging: { tone: "busy", sign: "moving", meaning: "Changes are on their way, or the sites are being compared." },
  Cut: {
    tone: "cut",
    sign: "cut",
    meaning: "A partition is wanted: sites that are cut keep taking writes and catch up when it is healed.",
  },
  Differs: {
    tone: "bad",
    sign: "differs",
    meaning: "Nothing is on its way, and yet the sites do not hold the same rows.",
  },
  Unknown: { tone: "plain", sign: "unknown", meaning: "Not every site could be asked." },
};

function convergence(cluster: Cluster): VNode {
  const { word, digest, rows, since, heal_seconds, detail } = cluster.convergence;
  const { tone, sign, meaning } = WORDS[word] ?? WORDS.Unknown;
  const fact = (name: string, value: Child): Child =>
    value === null ? null : h("div", null, h("dt", null, name), h("dd", null, value));
  return h(
    "div.convergence",
    null,
    h(`p.word.${tone}`, { role: "status", title: meaning, "data-word": word }, icon(sign), h("span", null, word)),
    h(
      "dl.facts",
      null,
      fact("Digest", digest === null ? null : h("code", null, digest)),
      fact("Rows", rows),
      fact("Since", since === null ? null : time(since)),
      fact("Last heal took", heal_seconds === null ? null : duration(heal_seconds * 1000)),
    ),
    // Converged says the same in its facts.
    detail === null || word === "Converged" ? null : h("p.detail", null, detail),
  );
}

function connection({ connection: { state: link }, now: _ }: State): VNode {
  if (link === "live") return tag("good", "link", "Live", "Changes arrive as they happen.");
  if (link === "connecting") return tag("busy", "moving", "Connecting");
  return tag("cut", "cut", "Not connected", "The gateway does not answer. What is shown may be out of date.");
}

const THEMES: Record<Theme, { readonly sign: IconName; readonly label: string; readonly next: Theme }> = {
  system: { sign: "system", label: "Theme: as the system. Switch to light", next: "light" },
  light: { sign: "light", label: "Theme: light. Switch to dark", next: "dark" },
  dark: { sign: "dark", label: "Theme: dark. Switch to the system's", next: "system" },
};

function person(state: State): Child {
  if (typeof state.me !== "object") return null;
  const { name, role } = state.me;
  return h(
    "span.person",
    null,
    h("span.name", null, name),
    tag("plain", "key", role, role === "Viewer" ? "Sees everything, changes nothing." : "May edit rows and cut sites."),
    button("Sign out", { icon: "out", bare: true, tone: "quiet", onclick: signOut }),
  );
}

export function header(state: State): VNode {
  const cluster = state.cluster.value;
  const { sign, label, next } = THEMES[theme()];
  return h(
    "header.top",
    null,
    h(
      "div.bar",
      null,
      h(
        "p.brand",
        null,
        h("span", null, "SyncCluster"),
        cluster === undefined
          ? null
          : h("strong", null, cluster.namespace === null ? cluster.name : `${cluster.namespace}/${cluster.name}`),
      ),
      h(
        "div.about",
        null,
        connection(state),
        cluster?.paused === true ? tag("cut", "pending", "Paused", "spec.paused: the operator changes nothing") : null,
        person(state),
        button(label, { icon: sign, bare: true, tone: "quiet", onclick: () => chooseTheme(next) }),
      ),
    ),
    cluster === undefined ? null : convergence(cluster),
  );
}

const NAMES: Record<View, string> = {
  sites: "Sites",
  conflicts: "Conflicts",
  counters: "Counters",
  topics: "Topics",
  components: "Components",
};

/** The views, with the number of what waits to be looked at. */
export function navigation(state: State): VNode {
  const sites = state.cluster.value?.sites ?? [];
  const parked = sites.reduce((sum, site) => sum + (site.parked ?? 0), 0);
  const conflicts = sites.reduce((sum, site) => sum + (site.conflicts ?? 0), 0);
  const counts = [conflicts > 0 ? String(conflicts) : "", parked > 0 ? `${parked} parked` : ""]
    .filter(Boolean)
    .join(" · ");
  const item = (view: View): VNode => {
    const current = state.route.view === view;
    const count = view === "conflicts" && counts !== "" ? h("span.count", null, counts) : null;
    return h(
      "li",
      { key: view },
      h("a", { href: formatRoute({ view, query: {} }), "aria-current": current ? "page" : null }, NAMES[view], count),
    );
  };
  // Where nothing is counted there is nothing to see; a link to it still says why.
  const off = state.counters.problem?.kind === "counters-off" && state.route.view !== "counters";
  const shown = VIEWS.filter((view) => view !== "counters" || !off);
  return h("nav.views", { "aria-label": "Views" }, h("ul", null, shown.map(item)));
}
