//! Messages of topics: a line each, and unfolded what they changed.

import type { Message } from "../api/types.ts";
import { aloud, button, copy, tag, time, type Tone } from "../dom/parts.ts";
import type { IconName } from "../dom/icons.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import { sides } from "../model/sides.ts";
import { bytes } from "../model/time.ts";

const OPS: Record<string, readonly [Tone, IconName, string]> = {
  c: ["good", "plus", "insert"],
  u: ["busy", "moving", "update"],
  d: ["cut", "trash", "delete"],
  r: ["plain", "down", "snapshot"],
};

type Fields = Record<string, unknown>;
const fields = (value: unknown): Fields | null =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;

function shownKey(key: unknown): string {
  const parts = fields(key);
  if (parts === null) return typeof key === "string" ? key : JSON.stringify(key);
  return Object.entries(parts)
    .filter(([name]) => !name.startsWith("__dbz__"))
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" ");
}

function cell(value: unknown): Child {
  if (value === undefined) return h("em.null", null, "not sent");
  return value === null
    ? h("em.null", null, "null")
    : h("span.value", null, typeof value === "string" ? value : JSON.stringify(value));
}

/** What was there and what is, by column; as the table shows it, where that is known, and else as it was sent. */
function beforeAfter(message: Message): Child {
  const value = message.sides ?? fields(message.value);
  const [before, after] = [fields(value?.["before"]), fields(value?.["after"])];
  if (before === null && after === null) return null;
  const changed = (column: string, differs: boolean): boolean =>
    message.changed === null || message.changed === undefined
      ? before !== null && after !== null && differs
      : message.changed.includes(column);
  return h(
    "table.plain.sides",
    null,
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        ["Column", "Before", "After"].map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      null,
      sides(before, after).map(({ column, winner, loser, differs }) =>
        h(
          "tr",
          { key: column, class: changed(column, differs) ? "differs" : "" },
          h(
            "th",
            { scope: "row" },
            changed(column, differs) ? [h("span.sign", { "aria-hidden": "true" }, "≠"), aloud("changed: ")] : null,
            column,
          ),
          h("td", null, before === null ? null : cell(winner)),
          h("td", null, after === null ? null : cell(loser)),
        ),
      ),
    ),
  );
}

function line(message: Message, withTopic: boolean): VNode {
  const op = message.op === null || message.op === undefined ? undefined : OPS[message.op];
  const kind = message.tombstone
    ? tag("cut", "close", "tombstone", "A null value: compaction removes what came before under this key.")
    : op === undefined
      ? null
      : tag(...op);
  const all = JSON.stringify(message.value, null, 2) ?? "null";
  const summary =
    message.changed === null || message.changed === undefined || message.changed.length === 0
      ? ""
      : `changed ${message.changed.join(", ")}`;
  return h(
    "li.message",
    { key: `${message.topic ?? ""}/${message.partition}/${message.offset}` },
    h(
      "details",
      null,
      h(
        "summary",
        null,
        h(
          "span.offset",
          null,
          withTopic ? h("b", null, message.topic) : null,
          ` ${message.partition}:${message.offset}`,
        ),
        time(message.at, { fractions: true }),
        kind,
        h(
          "span.grow",
          null,
          h("b", null, message.table ?? ""),
          " ",
          shownKey(message.key),
          " ",
          h("span.hint", null, summary),
        ),
        h("span.hint", null, bytes(message.size)),
      ),
      message.truncated === true ? h("p.hint", null, "This message is larger than what is shown of it.") : null,
      beforeAfter(message),
      message.tombstone
        ? h("p.hint", null, "This message has no value.")
        : h(
            "div.raw",
            null,
            h("pre", { tabindex: "0", "aria-label": "The message as JSON" }, all),
            button("Copy JSON", { icon: "copy", onclick: () => copy(all, "the message as JSON") }),
          ),
    ),
  );
}

export function messageTable(messages: readonly Message[], label: string): VNode {
  const topics = new Set(messages.map(({ topic }) => topic));
  return h(
    "ul.messages",
    { "aria-label": label },
    messages.map((message) => line(message, topics.size > 1)),
  );
}
