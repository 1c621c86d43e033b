//! The topics console: what is in Kafka, message by message, and who has read how far.

import { look } from "../actions/navigate.ts";
import { readTopics } from "../actions/refresh.ts";
import type { MessagePage, Topic } from "../api/types.ts";
import { button, empty, field, heading, loading, problemBox } from "../dom/parts.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import type { State } from "../store.ts";
import { groups } from "./groups.ts";
import { messageTable } from "./messages.ts";
import { tail } from "./tail.ts";

const count = (topic: Topic): bigint =>
  topic.partitions.reduce((sum, { low, high }) => sum + BigInt(high ?? 0) - BigInt(low ?? 0), 0n);

function topicItem(topic: Topic, state: State): VNode {
  const { topic: chosen, tail } = state.route.query;
  const tailed = tail?.split(",") ?? [];
  const toggle = (): void => {
    const next = tailed.includes(topic.name) ? tailed.filter((name) => name !== topic.name) : [...tailed, topic.name];
    look({ tail: next.length === 0 ? undefined : next.join(","), topic: undefined });
  };
  return h(
    "tr",
    { key: topic.name, class: topic.name === chosen ? "chosen" : "" },
    h(
      "th",
      { scope: "row" },
      h(
        "button.link",
        {
          type: "button",
          "aria-pressed": String(topic.name === chosen),
          onclick: () =>
            look({ topic: topic.name, tail: undefined, from: undefined, key: undefined, partition: undefined }),
        },
        topic.name,
      ),
      topic.internal ? h("small", null, "internal") : null,
    ),
    h("td.number", null, String(topic.partitions.length)),
    h("td.number", null, String(count(topic))),
    h(
      "td",
      null,
      h(
        "label.check",
        null,
        h("input", {
          type: "checkbox",
          checked: tailed.includes(topic.name),
          onchange: toggle,
          "aria-label": `Live tail of ${topic.name}`,
        }),
        h("span", { "aria-hidden": "true" }, "tail"),
      ),
    ),
  );
}

function list(state: State): Child {
  const { value, problem } = state.topics;
  const hidden = state.route.query["internal"] === undefined;
  const shown = (value ?? []).filter((topic) => !hidden || !topic.internal);
  return h(
    "section.panel",
    { "aria-labelledby": "topics" },
    h(
      "header",
      null,
      h("h2", { id: "topics" }, "Topics"),
      h(
        "label.check",
        null,
        h("input", {
          type: "checkbox",
          checked: !hidden,
          onchange: () => look({ internal: hidden ? "1" : undefined }, true),
        }),
        h("span", null, "internal too"),
      ),
    ),
    problemBox(problem, readTopics),
    value === undefined
      ? problem === undefined
        ? loading("the topics")
        : null
      : h(
          "div.scroll",
          { tabindex: "0", role: "region", "aria-label": "List of topics" },
          h(
            "table.plain.things",
            null,
            h("thead", null, h("tr", null, ["Topic", "Partitions", "Messages", "Live"].map(heading))),
            h(
              "tbody",
              null,
              shown.map((topic) => topicItem(topic, state)),
            ),
          ),
        ),
  );
}

function configuration(topic: Topic | undefined): Child {
  const own = topic?.configuration?.filter((entry) => !entry.default) ?? [];
  if (topic === undefined || own.length === 0) return null;
  return h(
    "details",
    null,
    h("summary", null, `${own.length} ${own.length === 1 ? "setting" : "settings"} of its own`),
    h(
      "dl.facts",
      null,
      own.map((entry) =>
        h(
          "div",
          { key: entry.name },
          h("dt", null, entry.name),
          h("dd", null, entry.sensitive ? "hidden" : (entry.value ?? "")),
        ),
      ),
    ),
  );
}

/** Whether what is shown was looked for from its end to its beginning: the newest stand first then, otherwise they stand in their order. */
const isBackwards = (from: string): boolean => from === "end" || from.startsWith("before:");

/** The offsets that were looked at; empty where there are none. */
function span({ looked }: MessagePage): string {
  const [from, to] = [BigInt(looked.from), BigInt(looked.to)];
  return to > from ? `offsets ${from} to ${to - 1n}` : "";
}

function pages(page: MessagePage): VNode {
  const { messages: shown, next, previous } = page;
  const where = span(page) === "" ? "" : ` of ${span(page)}`;
  return h(
    "footer.paging",
    null,
    h("p", { role: "status" }, `${shown.length} ${shown.length === 1 ? "message" : "messages"}${where}`),
    previous === null ? null : button("Earlier", { icon: "previous", onclick: () => look({ from: previous }) }),
    next === null ? null : button("Later", { onclick: () => look({ from: next }) }),
  );
}

/** Whoever looks for a key has not found it as long as there is more to look at. */
function nothing(page: MessagePage, key: string): VNode {
  const { previous, next } = page;
  if (key === "") return empty("No message here");
  return previous === null && next === null
    ? empty("No message has this key", "None of the partition has it.")
    : empty(
        "No message has this key so far",
        `It was looked for in ${span(page) || "nothing yet"}; go on with the buttons below.`,
      );
}

function messages(name: string, state: State): VNode {
  const { from = "end", key = "", partition = "" } = state.route.query;
  const { value, problem } = state.messages;
  const partitions = state.topics.value?.find((topic) => topic.name === name)?.partitions ?? [];
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const given = new FormData(event.target as HTMLFormElement);
    look({
      from: String(given.get("from")).trim() || undefined,
      key: String(given.get("key")),
      partition: given.get("partition") === null ? undefined : String(given.get("partition")),
    });
  };
  return h(
    "section.panel",
    { key: "messages", "aria-labelledby": "messages" },
    h(
      "header",
      null,
      h("h2", { id: "messages" }, name),
      button("Close", { icon: "close", bare: true, tone: "quiet", onclick: () => look({ topic: undefined }) }),
    ),
    configuration(state.topic.value?.name === name ? state.topic.value : undefined),
    h(
      "form.toolbar",
      { onsubmit: submit },
      field(
        "from",
        "From: end, beginning, offset:42, before:42, time:2026-01-01T00:00:00Z",
        h("input", { id: "from", name: "from", value: from, list: "froms", autocomplete: "off" }),
        { class: "grow" },
      ),
      h(
        "datalist",
        { id: "froms" },
        ["end", "beginning"].map((value) => h("option", { value })),
      ),
      field(
        "message-key",
        "Key contains",
        h("input", { id: "message-key", name: "key", value: key, autocomplete: "off" }),
      ),
      partitions.length < 2
        ? null
        : field(
            "partition",
            "Partition",
            h(
              "select",
              { id: "partition", name: "partition", value: partition === "" ? "0" : partition },
              partitions.map(({ id }) => h("option", { value: String(id) }, String(id))),
            ),
          ),
      button("Read", { type: "submit", tone: "primary" }),
    ),
    problemBox(problem, readTopics),
    value === undefined
      ? problem === undefined
        ? loading("messages")
        : null
      : [
          value.messages.length === 0
            ? nothing(value, key)
            : messageTable(isBackwards(from) ? value.messages.toReversed() : value.messages, `Messages of ${name}`),
          pages(value),
        ],
  );
}

export function topicsView(state: State): Child {
  const { topic, tail: tailed } = state.route.query;
  const detail =
    tailed !== undefined
      ? tail(state)
      : topic !== undefined
        ? messages(topic, state)
        : h(
            "section.panel",
            { key: "none" },
            empty("Choose a topic", "Open one to read its messages, or tick several to follow them live."),
          );
  return h("div.console", { key: "topics" }, h("div.aside", null, list(state), groups(state)), detail);
}
