//! Who is cut: a switch for every site, for how long, and the same as kubectl.

import { applyCut, commandFor, copyCommand, wanted } from "../actions/partition.ts";
import { button, copy, field, problemBox, select, tag, time, type Tone } from "../dom/parts.ts";
import { icon, type IconName } from "../dom/icons.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import type { Link } from "../api/types.ts";
import { alsoChanged, CONNECTED, isCut, isHealed, withSite } from "../model/kubectl.ts";
import { links, type SiteLinks } from "../model/links.ts";
import { duration } from "../model/time.ts";
import { isViewer, mayEdit, set, type State } from "../store.ts";
import { READ_ONLY } from "../dom/parts.ts";

const STATES: Record<SiteLinks["word"], readonly [Tone, IconName, string]> = {
  Connected: ["good", "check", "Fresh connections get through."],
  Cutting: ["busy", "moving", "A cut is wanted; it counts once fresh connections are blocked and old ones are closed."],
  Cut: ["cut", "cut", "Measured: fresh connections are blocked, none is left."],
  Healing: [
    "busy",
    "moving",
    "Connected again as far as the resource says; a fresh connection does not get through yet.",
  ],
  Unknown: ["plain", "unknown", "Nobody could be asked."],
};

const CHOICES: readonly (readonly [Link | null, string, string])[] = [
  [null, "Connected", "connect"],
  ["Both", "Both", "cut both ways"],
  ["Uplink", "Uplink", "cut the uplink: its changes do not leave"],
  ["Downlink", "Downlink", "cut the downlink: others' changes do not arrive"],
];

function site(state: State, found: SiteLinks): VNode {
  const cut = wanted(state);
  const now = isCut(cut, found.site) ? cut.link : null;
  const [tone, sign, meaning] = STATES[found.word];
  const choice = ([link, label, does]: (typeof CHOICES)[number]): VNode => {
    const after = withSite(cut, found.site, link, state.healAfter);
    const others = alsoChanged(cut, after).filter((other) => other !== found.site);
    const too = others.length === 0 ? "" : `; the same link and time then count for ${others.join(", ")}`;
    return h(
      "button",
      {
        key: label,
        type: "button",
        class: link === null ? "connected" : "",
        "aria-pressed": String(link === now),
        "aria-label": `${label}: ${does} ${found.site}${too}`,
        title: isViewer() ? READ_ONLY : `${does} (${found.site})${too}`,
        disabled: !mayEdit() || state.partition.busy,
        onclick: () => void applyCut((of) => withSite(of, found.site, link, state.healAfter)),
      },
      label,
    );
  };
  return h(
    "li.connection",
    { key: found.site, "data-site": found.site, "data-word": found.word },
    h(
      "div.who",
      null,
      h("strong", null, found.site),
      tag(tone, sign, found.word, `${meaning} ${found.evidence}`),
      found.word === "Cut" && found.since !== undefined ? h("span.since", null, "since ", time(found.since)) : null,
    ),
    h("div.switch", { role: "group", "aria-label": `Link of ${found.site}` }, CHOICES.map(choice)),
    commands(state, found.site),
    found.problem === undefined ? null : h("p.trouble", null, found.problem),
  );
}

/** What each choice would do, as kubectl, without doing it: with the time that is chosen. */
function commands(state: State, name: string): VNode {
  const close = (event: Event): void => (event.currentTarget as Element).closest("details")?.removeAttribute("open");
  const command = ([link, , does]: (typeof CHOICES)[number]): VNode =>
    button(`${does} ${name}`, {
      key: String(link),
      tone: "quiet",
      onclick: (event: Event) => {
        close(event);
        copyCommand(withSite(wanted(state), name, link, state.healAfter));
      },
    });
  const label = `Copy as kubectl for ${name}`;
  return h(
    "details.commands",
    { onkeydown: (event: KeyboardEvent) => event.key === "Escape" && close(event) },
    h("summary.button.quiet.bare", { "aria-label": label, title: label }, icon("copy")),
    h("div.choices", { role: "group", "aria-label": label }, CHOICES.map(command)),
  );
}

const DURATIONS = [
  { value: "", label: "until it is healed by hand" },
  ...["30s", "1m", "5m", "30m", "2h"].map((value) => ({
    value,
    label: `for ${value
      .replace("s", " seconds")
      .replace(/m$/, " minutes")
      .replace("h", " hours")
      .replace(/^1 minutes/, "1 minute")}`,
  })),
];

/** When the cut ends. */
function ends(state: State): Child {
  const cut = wanted(state);
  if (isHealed(cut)) return null;
  const end = state.cluster.value?.cut?.heal_at;
  const left =
    cut.healAfter === null
      ? "The cut lasts until somebody heals it."
      : end === null || end === undefined
        ? `The operator heals the cut ${cut.healAfter} after it has seen it.`
        : `The operator heals the cut in ${duration(Math.max(0, Date.parse(end) - state.now))}.`;
  const next = alsoChanged(cut, { ...cut, healAfter: state.healAfter });
  const chosen = DURATIONS.find(({ value }) => value === (state.healAfter ?? ""))?.label ?? "";
  return h(
    "p.ends",
    null,
    left,
    ` It has one link for everybody, now ${cut.link}, and one end: what is chosen for another site counts for all that are cut.`,
    next.length === 0 ? "" : ` The next cut makes it last ${chosen} for ${next.join(", ")} too.`,
  );
}

function enforced(state: State): Child {
  const condition = state.cluster.value?.conditions.find(({ type }) => type === "PartitionEnforced");
  if (condition === undefined || isHealed(wanted(state))) return null;
  const [tone, sign, word]: [Tone, IconName, string] =
    condition.status === "True"
      ? ["good", "check", "Enforced"]
      : condition.status === "False"
        ? ["busy", "moving", "Not enforced yet"]
        : ["plain", "unknown", "Enforcement unknown"];
  const age = duration(state.now - Date.parse(condition.last_transition_time));
  return h("p.enforced", null, tag(tone, sign, word, `${condition.reason}, for ${age}`), " ", condition.message);
}

export function connections(state: State): Child {
  const cluster = state.cluster.value;
  if (cluster === undefined) return null;
  const cut = wanted(state);
  const command = commandFor(cut);
  return h(
    "section.panel.connections",
    { "aria-labelledby": "connections" },
    h(
      "header",
      null,
      h("h2", { id: "connections" }, "Connections"),
      field(
        "heal-after",
        "Cut",
        select(
          "heal-after",
          state.healAfter ?? "",
          DURATIONS,
          (value) => set({ healAfter: value === "" ? null : value }),
          { disabled: !mayEdit() },
        ),
        { class: "inline" },
      ),
      button("Heal all", {
        icon: "link",
        edits: true,
        disabled: isHealed(cut) || state.partition.busy,
        onclick: () => applyCut(() => CONNECTED),
      }),
    ),
    isViewer() ? h("p.reason", null, READ_ONLY) : null,
    h(
      "ul.list",
      null,
      cluster.sites.map(links).map((each) => site(state, each)),
    ),
    problemBox(state.partition.problem),
    enforced(state),
    ends(state),
    command === undefined
      ? null
      : h(
          "div.command",
          null,
          h("code", { tabindex: "0", "aria-label": "The present partition as kubectl" }, command),
          button("Copy as kubectl", { icon: "copy", onclick: () => copy(command, "the present partition") }),
        ),
  );
}
