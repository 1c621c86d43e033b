//! Who looks at the page. The token of the address is traded for a cookie that scripts cannot read.

import { call, Problem } from "../api/client.ts";
import type { Me } from "../api/types.ts";
import { tokenOf } from "../model/route.ts";
import { parseRoute } from "../model/route.ts";
import { set } from "../store.ts";

/** Whether somebody is signed in afterwards. */
export async function signIn(token: string): Promise<boolean> {
  set({ signIn: { busy: true } });
  try {
    await call("/session", { method: "POST", body: { token } });
    set({ signIn: { busy: false } });
    return await whoAmI();
  } catch (thrown) {
    set({ me: "out", signIn: { busy: false, problem: Problem.of(thrown) } });
    return false;
  }
}

export async function whoAmI(): Promise<boolean> {
  try {
    set({ me: await call<Me>("/me") });
    return true;
  } catch (thrown) {
    const problem = Problem.of(thrown);
    if (problem.status === 401) set({ me: "out" });
    return false;
  }
}

export async function signOut(): Promise<void> {
  try {
    await call("/session", { method: "DELETE" });
  } finally {
    set({ me: "out" });
  }
}

/** Takes the token out of the address, the history included, before anything else is done. */
export function takeToken(): string | undefined {
  const token = tokenOf(location.hash);
  if (token === undefined) return undefined;
  history.replaceState(null, "", `${location.pathname}${location.search}#/`);
  set({ route: parseRoute(location.hash) });
  return token;
}
