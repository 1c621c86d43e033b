//! Asks for the token when there is no session.

import { signIn } from "../actions/session.ts";
import { arrive } from "../actions/refresh.ts";
import { button, field, problemBox } from "../dom/parts.ts";
import { h, type VNode } from "../dom/vdom.ts";
import type { State } from "../store.ts";

async function submit(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  const input = (event.target as HTMLFormElement).elements.namedItem("token") as HTMLInputElement;
  if (await signIn(input.value.trim())) arrive();
}

export function signInForm({ signIn: { busy, problem } }: State): VNode {
  const input = h("input", {
    id: "token",
    name: "token",
    type: "password",
    autocomplete: "current-password",
    required: true,
    "aria-describedby": "token-hint",
    ref: (element: Element) => (element as HTMLInputElement).focus(),
  });
  const hint = [
    "It is in the Secret ",
    h("code", null, "<cluster>-gateway"),
    ": key ",
    h("code", null, "token"),
    " for editors, ",
    h("code", null, "viewer-token"),
    " for viewers.",
  ];
  return h(
    "main.signin",
    { id: "main" },
    h(
      "form.panel",
      { onsubmit: submit },
      h("h1", null, "SyncCluster"),
      h("p", null, "This gateway asks for a token."),
      field("token", "Token", input, { hint }),
      problemBox(problem),
      button(busy ? "Signing in…" : "Sign in", { type: "submit", tone: "primary", disabled: busy, icon: "key" }),
    ),
  );
}
