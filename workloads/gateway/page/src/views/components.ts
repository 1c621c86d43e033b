//! The pods: how they are, and the end of their logs.

import { look } from "../actions/navigate.ts";
import { readComponents, readLogs } from "../actions/refresh.ts";
import type { Component } from "../api/types.ts";
import { button, empty, field, heading, loading, problemBox, select, tag, time } from "../dom/parts.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import type { State } from "../store.ts";

function health(pod: Component): VNode {
  if (pod.ready) return tag("good", "check", "Ready");
  if (pod.phase === "Failed") return tag("bad", "close", pod.phase, pod.message ?? undefined);
  return tag("busy", "pending", pod.phase === "Running" ? "Not ready" : pod.phase, pod.message ?? undefined);
}

function row(pod: Component, state: State): VNode {
  const chosen = state.route.query["pod"] === pod.name;
  return h(
    "tr",
    { key: pod.name, class: chosen ? "chosen" : "" },
    h(
      "th",
      { scope: "row" },
      h(
        "button.link",
        {
          type: "button",
          "aria-pressed": String(chosen),
          onclick: () => look({ pod: pod.name, container: undefined, previous: undefined }),
        },
        pod.name,
      ),
      pod.message === null || pod.message === undefined ? null : h("small.trouble", null, pod.message),
    ),
    h("td", null, pod.component),
    h("td", null, pod.site ?? ""),
    h("td", null, health(pod)),
    h("td.number", null, pod.restarts === 0 ? "0" : h("strong", null, String(pod.restarts))),
    h("td", null, time(pod.started_at, { age: true })),
    h("td", null, pod.node ?? ""),
  );
}

function logs(pod: Component, state: State): VNode {
  const {
    container = pod.containers.find(({ init }) => !init)?.name ?? "",
    lines = "200",
    previous,
  } = state.route.query;
  const { value, problem, loading: busy } = state.logs;
  return h(
    "section.panel",
    { key: "logs", "aria-labelledby": "logs" },
    h(
      "header",
      null,
      h("h2", { id: "logs" }, `Logs of ${pod.name}`),
      button("Read again", { icon: "moving", disabled: busy, onclick: readLogs }),
      button("Close", {
        icon: "close",
        bare: true,
        tone: "quiet",
        onclick: () => look({ pod: undefined, container: undefined }),
      }),
    ),
    h(
      "div.toolbar",
      null,
      pod.containers.length < 2
        ? null
        : field(
            "container",
            "Container",
            select(
              "container",
              container,
              pod.containers.map(({ name, init, state: now }) => ({
                value: name,
                label: `${name} (${init ? "init, " : ""}${now})`,
              })),
              (name) => look({ container: name }, true),
            ),
          ),
      field(
        "lines",
        "Lines",
        select(
          "lines",
          lines,
          ["50", "200", "1000", "2000"].map((each) => ({ value: each, label: `last ${each}` })),
          (each) => look({ lines: each }, true),
        ),
      ),
      pod.restarts === 0
        ? null
        : h(
            "label.check",
            null,
            h("input", {
              type: "checkbox",
              checked: previous !== undefined,
              onchange: (event: Event) =>
                look({ previous: (event.target as HTMLInputElement).checked ? "true" : undefined }, true),
            }),
            h("span", null, "of the run before the restart"),
          ),
    ),
    problemBox(problem, readLogs),
    value === undefined
      ? problem === undefined
        ? loading("the logs")
        : null
      : value === ""
        ? empty("Nothing was logged")
        : h(
            "pre.log",
            {
              tabindex: "0",
              role: "region",
              "aria-label": `The last lines of ${pod.name}`,
              key: `${pod.name}${container}`,
            },
            value,
          ),
  );
}

export function componentsView(state: State): Child {
  const { value, problem } = state.components;
  const pod = value?.find(({ name }) => name === state.route.query["pod"]);
  const table = (pods: readonly Component[]): VNode =>
    h(
      "div.scroll",
      { tabindex: "0", role: "region", "aria-label": "Pods" },
      h(
        "table.plain.things",
        null,
        h(
          "thead",
          null,
          h("tr", null, ["Pod", "Component", "Site", "State", "Restarts", "Started", "Node"].map(heading)),
        ),
        h(
          "tbody",
          null,
          pods.map((each) => row(each, state)),
        ),
      ),
    );
  return [
    h(
      "section.panel",
      { key: "components", "aria-labelledby": "components" },
      h("header", null, h("h2", { id: "components" }, "Components")),
      problemBox(problem, readComponents),
      value === undefined
        ? problem === undefined
          ? loading("the pods")
          : null
        : value.length === 0
          ? empty("No pods", "The operator has not made any yet.")
          : table(value),
    ),
    pod === undefined ? null : logs(pod, state),
  ];
}
