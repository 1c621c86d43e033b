//! Likes: totals at every counter node side by side, and what the windows count.

import { chosen, like, PAGE } from "../actions/counters.ts";
import { applyCut, wanted } from "../actions/partition.ts";
import { live } from "../actions/refresh.ts";
import { look } from "../actions/navigate.ts";
import type { CounterNode, SiteStatus } from "../api/types.ts";
import { aloud, button, empty, field, loading, problemBox, tag } from "../dom/parts.ts";
import { icon } from "../dom/icons.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import { links } from "../model/links.ts";
import { withCounter } from "../model/kubectl.ts";
import { agreement, type Known, sides, type Side, together } from "../model/totals.ts";
import { isViewer, mayEdit, type State } from "../store.ts";
import { charts } from "./charts.ts";

const nodesOf = (state: State): readonly number[] => state.counters.value?.nodes.map(({ node }) => node) ?? [];

function agreed(state: State): VNode {
  const { ids, known } = state.totals.value ?? { ids: [], known: {} };
  switch (agreement(ids, nodesOf(state), known)) {
    case "same":
      return tag("good", "check", "All nodes say the same");
    case "differ":
      return tag("busy", "differs", "Nodes differ", "A node that is cut off knows less, or more, until it is healed.");
    case "silent":
      return tag("cut", "cut", "A node does not answer");
    default:
      return tag("plain", "unknown", "Nodes unknown", state.counters.value?.unreachable ?? undefined);
  }
}

/** Cuts the node off, or connects it; only an operator can. */
function cutting(ordinal: number, state: State): Child {
  if (state.cluster.value?.namespace == null) return null;
  const cut = wanted(state);
  const off = cut.counters.includes(ordinal);
  return button(off ? "Connect" : "Cut off", {
    tone: "quiet",
    edits: true,
    disabled: state.partition.busy,
    "aria-label": off ? `Connect node ${ordinal}` : `Cut off node ${ordinal}`,
    onclick: () => void applyCut((of) => withCounter(of, ordinal, !off, state.healAfter)),
  });
}

/** What the operator measured of its links, while that is not simply that they are there. */
function measured(status: SiteStatus | undefined): Child {
  if (status === undefined) return null;
  const { word, evidence } = links(status);
  if (word === "Cut") return tag("cut", "cut", "Cut", evidence);
  return word === "Cutting" || word === "Healing" ? tag("busy", "moving", word, evidence) : null;
}

function node({ node: ordinal, alive, leader, load }: CounterNode, state: State): VNode {
  const status = state.cluster.value?.counters.find(({ name }) => name === `counter-${ordinal}`);
  const word = status === undefined ? undefined : links(status).word;
  return h(
    "li",
    { key: String(ordinal), "data-node": ordinal, "data-alive": String(alive), "data-word": word },
    h("strong", null, `node ${ordinal}`),
    alive ? tag("good", "check", "Alive") : tag("cut", "unknown", "Not heard", "The leader has not heard it lately."),
    leader ? tag("plain", "key", "Leader", "Tells clients which node to use.") : null,
    measured(status),
    h("span.hint", null, `${load.likes_per_second} likes/s`),
    cutting(ordinal, state),
  );
}

function cell({ node: ordinal, total, took, differs }: Side): VNode {
  const title = took === undefined ? "It does not answer." : `${took} of them were liked at node ${ordinal}.`;
  return h(
    "td.number",
    { key: String(ordinal), title, "data-node": ordinal, class: differs ? "differs" : "" },
    total === undefined ? h("span.null", null, "no answer") : String(total),
    differs ? [" ", icon("differs"), aloud("differs from the other nodes")] : null,
  );
}

function row(id: string, known: Known, state: State): VNode {
  const current = chosen() === id;
  return h(
    "tr",
    { key: id, "data-id": id, class: current ? "chosen" : "" },
    h(
      "th",
      { scope: "row" },
      h("button.link", { type: "button", "aria-pressed": String(current), onclick: () => look({ id }) }, id),
    ),
    h("td.number.total", { title: "What each node took, by its own word." }, String(together(id, known))),
    h(
      "td",
      null,
      h(
        "div.likes",
        null,
        button("Like", { icon: "plus", edits: true, "aria-label": `Like ${id}`, onclick: () => void like(id) }),
        button("Unlike", {
          tone: "quiet",
          edits: true,
          "aria-label": `Unlike ${id}`,
          onclick: () => void like(id, "unlikes"),
        }),
      ),
    ),
    sides(id, nodesOf(state), known).map(cell),
  );
}

function table(state: State, ids: readonly string[], known: Known): VNode {
  return h(
    "div.scroll",
    { tabindex: "0", role: "region", "aria-label": "Totals at every node" },
    h(
      "table.plain.totals",
      null,
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          h("th", { scope: "col" }, "Id"),
          h("th.number", { scope: "col" }, "Total"),
          h("th", { scope: "col" }, aloud("Like")),
          nodesOf(state).map((ordinal) => h("th.number", { key: String(ordinal), scope: "col" }, `at node ${ordinal}`)),
        ),
      ),
      h(
        "tbody",
        null,
        ids.map((id) => row(id, known, state)),
      ),
    ),
  );
}

function toolbar(state: State): VNode {
  const { prefix = "" } = state.route.query;
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const id = String(new FormData(form).get("new-id")).trim();
    if (id === "") return;
    void like(id).then((done) => {
      if (!done) return;
      form.reset();
      look({ id, after: undefined });
    });
  };
  const input = { id: "new-id", name: "new-id", maxlength: 256, autocomplete: "off", disabled: !mayEdit() };
  return h(
    "div.toolbar",
    null,
    h(
      "form.toolbar",
      { onsubmit: submit },
      field("new-id", "Like something new", h("input", input)),
      button("Like", { type: "submit", tone: "primary", icon: "plus", edits: true }),
    ),
    field(
      "prefix",
      "Ids that begin with",
      h("input", {
        id: "prefix",
        value: prefix,
        autocomplete: "off",
        onchange: (event: Event) => look({ prefix: (event.target as HTMLInputElement).value, after: undefined }),
      }),
    ),
  );
}

function pages(state: State, ids: readonly string[]): Child {
  const { after } = state.route.query;
  const last = ids.at(-1);
  if (after === undefined && ids.length < PAGE) return null;
  return h(
    "div.toolbar",
    null,
    button("From the beginning", {
      icon: "previous",
      disabled: after === undefined,
      onclick: () => look({ after: undefined }),
    }),
    button("More", {
      icon: "next",
      disabled: ids.length < PAGE,
      onclick: () => look({ after: last, id: undefined }),
    }),
  );
}

function list(state: State): Child {
  const { value, problem } = state.totals;
  if (value === undefined) return problem === undefined ? loading("the totals") : null;
  if (value.ids.length > 0) return [table(state, value.ids, value.known), pages(state, value.ids)];
  return empty("Nothing has been liked yet", "Like something, and it appears here and at every node.");
}

export function countersView(state: State): Child {
  const { value, problem } = state.counters;
  if (problem?.kind === "counters-off")
    return h(
      "section.panel",
      { key: "counters-off", "aria-labelledby": "counters" },
      h("header", null, h("h2", { id: "counters" }, "Counters")),
      empty("This cluster counts no likes", problem.message),
    );
  return [
    h(
      "section.panel",
      { key: "counters", "aria-labelledby": "counters" },
      h("header", null, h("h2", { id: "counters" }, "Counters"), agreed(state)),
      problemBox(problem ?? state.totals.problem, () => live.again()),
      problemBox(state.partition.problem),
      value === undefined || value.nodes.length === 0
        ? null
        : h(
            "ul.nodes",
            { "aria-label": "Counter nodes" },
            value.nodes.map((each) => node(each, state)),
          ),
      value?.unreachable == null ? null : h("p.hint", null, `The nodes' leader cannot be asked: ${value.unreachable}`),
      toolbar(state),
      isViewer() ? h("p.hint", null, "You are signed in as a viewer: you see the counters and cannot like.") : null,
      list(state),
    ),
    charts(state),
  ];
}
