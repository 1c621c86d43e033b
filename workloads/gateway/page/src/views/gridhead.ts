//! What a grid shows, and its head: the sites, and under each its columns.

import type { Column, SiteName, Table } from "../api/types.ts";
import { aloud, button, tag } from "../dom/parts.ts";
import { h, type VNode } from "../dom/vdom.ts";
import type { Difference } from "../model/align.ts";
import { links } from "../model/links.ts";
import type { Checklist } from "../model/shape.ts";
import { set, type State } from "../store.ts";

export interface Shape {
  readonly table: Table;
  readonly sites: readonly SiteName[];
  /** Of every site; the key stands once, at the left. */
  readonly columns: readonly Column[];
  readonly list: Checklist | undefined;
}

/** How a row stands against the server's where no single column tells. */
export const REASONS: Record<Difference["kind"], string> = {
  same: "",
  columns: "",
  missing: "not here",
  extra: "only here, not at the server",
  version: "same values, another version",
};

function siteHead(site: SiteName, shape: Shape, state: State): VNode {
  const status = state.cluster.value?.sites.find(({ name }) => name === site);
  const found = status === undefined ? undefined : links(status);
  const why = state.grid.unreachable[site];
  const insertAt =
    shape.list === undefined
      ? button(`Insert a row at ${site}`, {
          icon: "plus",
          bare: true,
          tone: "quiet",
          edits: true,
          onclick: () => set({ dialog: { kind: "insert", site, saving: false } }),
        })
      : null;
  const link =
    why !== undefined
      ? tag("bad", "unknown", "Not reachable", why)
      : found === undefined || found.word === "Connected"
        ? null
        : tag(found.word === "Cut" ? "cut" : "busy", found.word === "Cut" ? "cut" : "moving", found.word);
  return h(
    "th.site",
    { key: site, scope: "colgroup", colspan: shape.list === undefined ? shape.columns.length + 1 : 1 },
    h("div.site-head", null, h("span", null, site), link, insertAt),
  );
}

export function head(shape: Shape, state: State): VNode {
  const key = h(
    "th.key",
    { scope: "col", rowspan: shape.list === undefined ? 2 : 1 },
    shape.table.key.join(", "),
    h("span.key-note", null, "and its way"),
  );
  const names = (site: SiteName): VNode[] => [
    ...shape.columns.map((column) =>
      h("th", { key: `${site} ${column.name}`, scope: "col", title: column.type }, column.name),
    ),
    h("th.tools", { key: `${site} tools`, scope: "col" }, aloud("Delete")),
  ];
  return h(
    "thead",
    null,
    h(
      "tr",
      null,
      key,
      shape.sites.map((site) => siteHead(site, shape, state)),
    ),
    shape.list === undefined ? h("tr.names", null, shape.sites.map(names)) : null,
  );
}
