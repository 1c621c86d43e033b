//! What is written to topics, as it is written.

import { look } from "../actions/navigate.ts";
import { button, empty, field, problemBox, tag } from "../dom/parts.ts";
import { type Child, h } from "../dom/vdom.ts";
import type { State } from "../store.ts";
import { messageTable } from "./messages.ts";

export function tail(state: State): Child {
  const { tail: live } = state;
  if (live === null) return null;
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    look({ contains: String(new FormData(event.target as HTMLFormElement).get("contains")) });
  };
  const stateTag =
    live.state === "live"
      ? tag("good", "link", "Live")
      : live.state === "connecting"
        ? tag("busy", "moving", "Connecting")
        : tag("cut", "cut", "Not connected");
  return h(
    "section.panel",
    { key: "tail", "aria-labelledby": "tail" },
    h(
      "header",
      null,
      h("h2", { id: "tail" }, `Live tail of ${live.topics.split(",").join(", ")}`),
      stateTag,
      button("Stop", { onclick: () => look({ tail: undefined, contains: undefined }) }),
    ),
    h(
      "form.toolbar",
      { onsubmit: submit },
      field(
        "contains",
        "Contains",
        h("input", { id: "contains", name: "contains", value: live.filter, autocomplete: "off" }),
      ),
      button("Filter", { type: "submit" }),
    ),
    problemBox(live.problem),
    live.skipped === 0
      ? null
      : h(
          "p.trouble",
          { role: "status" },
          `${live.skipped} ${live.skipped === 1 ? "message was" : "messages were"} left out: more came than are shown in a second. A part that they contain makes them fewer; read the topic for all of them.`,
        ),
    live.messages.length === 0
      ? empty("Waiting for messages", "They appear here as they are written, newest first.")
      : messageTable(live.messages, "Live messages"),
    live.dropped === 0 ? null : h("p.hint", null, `${live.dropped} older messages are not shown any more.`),
  );
}
