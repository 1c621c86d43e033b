//! Light or dark: the system's choice, or this person's.

import { set } from "../store.ts";

export type Theme = "system" | "light" | "dark";

const KEY = "synccluster.theme";
let chosen: Theme = "system";

export const theme = (): Theme => chosen;

function show(): void {
  if (chosen === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = chosen;
}

export function recallTheme(): void {
  try {
    const kept = localStorage.getItem(KEY);
    if (kept === "light" || kept === "dark") chosen = kept;
  } catch {
    // Storage may be forbidden; then the choice lasts as long as the page.
  }
  show();
}

export function chooseTheme(next: Theme): void {
  chosen = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // As above.
  }
  show();
  set({});
}
