//! Pieces every view is made of.

import type { Problem } from "../api/client.ts";
import { decode } from "../model/version.ts";
import { moment, since } from "../model/time.ts";
import { isViewer, mayEdit, say, state } from "../store.ts";
import { icon, type IconName } from "./icons.ts";
import { type Child, h, type Props, type VNode } from "./vdom.ts";

export type Tone = "good" | "busy" | "cut" | "bad" | "plain";

/** Read aloud and not shown. */
export function aloud(text: string): VNode {
  return h("span.aloud", null, text);
}

interface ButtonOptions extends Props {
  icon?: IconName;
  /** Shows the sign alone; the label is its name and tooltip. */
  bare?: boolean;
  tone?: "primary" | "danger" | "quiet";
  /** Needs the role Editor. */
  edits?: boolean;
}

export const READ_ONLY = "You are signed in as a viewer. Changing anything needs the editor's token.";

export function button(label: string, options: ButtonOptions = {}): VNode {
  const { icon: sign, bare, tone, edits, class: extra, ...props } = options;
  const forbidden = edits === true && !mayEdit();
  const classes = ["button", tone ?? "", bare === true ? "bare" : "", typeof extra === "string" ? extra : ""]
    .filter(Boolean)
    .join(" ");
  const title = forbidden && isViewer() ? READ_ONLY : (props["title"] ?? (bare === true ? label : undefined));
  return h(
    "button",
    {
      type: "button",
      ...props,
      class: classes,
      title,
      disabled: forbidden || props["disabled"] === true,
      ...(bare === true ? { "aria-label": label } : {}),
    },
    sign === undefined ? null : icon(sign),
    bare === true ? null : h("span", null, label),
  );
}

/** A state in a word, with its sign; colour comes third. */
export function tag(tone: Tone, sign: IconName | null, label: string, title?: string): VNode {
  return h(`span.tag.${tone}`, { title }, sign === null ? null : icon(sign), h("span", null, label));
}

/** A time with its age as tooltip. */
export function time(
  at: string | number | null | undefined,
  options: { fractions?: boolean; age?: boolean } = {},
): Child {
  if (at === null || at === undefined) return null;
  const when = typeof at === "number" ? at : Date.parse(at);
  if (Number.isNaN(when)) return String(at);
  const [exact, age] = [moment(when, state.now, options.fractions), since(when, state.now)];
  const iso = new Date(when).toISOString();
  return options.age === true
    ? h("time", { datetime: iso, title: exact }, age)
    : h("time", { datetime: iso, title: iso }, exact);
}

/** When and where a version was written; the number itself is the tooltip. */
export function version(text: string | null | undefined): Child {
  const written = decode(text);
  if (written === undefined) return text ?? "none";
  return h("span.version", { title: `version ${text}` }, time(written.at, { fractions: true }), ` at ${written.site}`);
}

export function problemBox(problem: Problem | undefined, again?: () => void): Child {
  if (problem === undefined) return null;
  return h(
    "div.problem",
    { role: "alert" },
    icon("differs"),
    h("div.grow", null, h("strong", null, problem.title), " ", h("span", null, problem.message)),
    again === undefined ? null : button("Try again", { onclick: again, tone: "quiet", icon: "moving" }),
  );
}

export function empty(title: string, detail: Child = null): VNode {
  return h("div.empty", null, h("strong", null, title), detail === null ? null : h("span", null, detail));
}

export function loading(what: string): VNode {
  return h("p.loading", { role: "status" }, h("span.dots", { "aria-hidden": "true" }), `Reading ${what}…`);
}

/** A control under its label. */
export function field(
  id: string,
  label: string,
  control: VNode,
  options: { hint?: Child; class?: string } = {},
): VNode {
  const hint = options.hint === undefined ? null : h("span.hint", { id: `${id}-hint` }, options.hint);
  return h("div.field", { class: options.class }, h("label", { for: id }, label), control, hint);
}

const NUMBERS = new Set(["Partitions", "Messages", "Members", "Restarts", "Read to", "End", "Lag"]);

/** The head of a column, above its numbers where it has such. */
export function heading(name: string): VNode {
  return h("th", { key: name, scope: "col", class: NUMBERS.has(name) ? "number" : "" }, name);
}

export interface Choice {
  readonly value: string;
  readonly label: string;
}

export function select(
  id: string,
  value: string,
  choices: readonly Choice[],
  onchange: (value: string) => void,
  props: Props = {},
): VNode {
  const options = choices.map((choice) => h("option", { value: choice.value, key: choice.value }, choice.label));
  return h(
    "select",
    { id, ...props, value, onchange: (event: Event) => onchange((event.target as HTMLSelectElement).value) },
    options,
  );
}

export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say("done", `Copied: ${what}`);
  } catch {
    // Without https (other than localhost) browsers lend no clipboard.
    say("failed", "The browser does not let this page copy here. Select the text and copy it by hand.");
  }
}

/** Closes the dialog that is open, as Escape does: the focus goes back to where it was, and the dialog's `onclose` is called. */
export function closeModal(): void {
  document.querySelector<HTMLDialogElement>("dialog[open]")?.close();
}

/** A modal dialog while it is in the document. `onclose` takes it out again. */
export function modal(name: string, title: string, onclose: () => void, ...content: Child[]): VNode {
  const id = `${name}-title`;
  return h(
    `dialog.${name}`,
    {
      key: name,
      "aria-labelledby": id,
      ref: (element: Element) => (element as HTMLDialogElement).showModal(),
      onclose,
      onclick: (event: MouseEvent) => {
        if (event.target === event.currentTarget) closeModal();
      },
    },
    h(
      "div.dialog-body",
      null,
      h(
        "header",
        null,
        h("h2", { id }, title),
        button("Close", { icon: "close", bare: true, tone: "quiet", onclick: closeModal }),
      ),
      content,
    ),
  );
}
