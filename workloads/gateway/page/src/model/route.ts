//! What is looked at, as the fragment of the address: `#/sites?table=public.todos&only=different`. So a link holds the view.

export const VIEWS = ["sites", "conflicts", "counters", "topics", "components"] as const;
export type View = (typeof VIEWS)[number];

export interface Route {
  readonly view: View;
  readonly query: Readonly<Record<string, string>>;
}

export function parseRoute(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const view = VIEWS.find((name) => name === path) ?? "sites";
  return { view, query: Object.fromEntries([...new URLSearchParams(search)].filter(([, value]) => value !== "")) };
}

/** The same route has the same text whatever the order its parameters were set in. */
export function formatRoute(route: Route): string {
  const parameters = Object.entries(route.query)
    .filter(([, value]) => value !== "")
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const search = new URLSearchParams(parameters).toString();
  return `#/${route.view}${search === "" ? "" : `?${search}`}`;
}

/** The same view with other parameters; undefined or an empty text takes one away. */
export function withQuery(route: Route, changes: Record<string, string | undefined>): Route {
  const query = { ...route.query, ...changes };
  const kept = Object.entries(query).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== "",
  );
  return { view: route.view, query: Object.fromEntries(kept) };
}

/** The token of `#token=…`, with which the gateway's address is handed out. */
export function tokenOf(hash: string): string | undefined {
  const token = new URLSearchParams(hash.replace(/^#\/?/, "")).get("token");
  return token === null || token === "" ? undefined : token;
}
