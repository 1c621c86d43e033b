//! The main view: the picture, who is connected, and a table at every site.

import { look } from "../actions/navigate.ts";
import { PAGE, readRows, table } from "../actions/rows.ts";
import type { SiteName, Table } from "../api/types.ts";
import { button, empty, field, loading, problemBox, select } from "../dom/parts.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import { understood } from "../model/filter.ts";
import { type Checklist, checklist, isText } from "../model/shape.ts";
import { everywhere } from "../model/trail.ts";
import { set, type State } from "../store.ts";
import { connections } from "./connections.ts";
import { grid } from "./grid.ts";
import { sitesShown } from "./marks.ts";
import { rowDetails } from "./row.ts";
import { topology } from "./topology.ts";

function known(state: State): SiteName[] {
  return (state.sites.value ?? []).map(({ name }) => name);
}

/** The sites that are read, and on a phone the one that is shown. */
function siteChoice(state: State): { readonly read: readonly SiteName[]; readonly shown: readonly SiteName[] } {
  const read = state.grid.sites.length > 0 ? state.grid.sites : known(state);
  const one = read.find((site) => site === state.route.query["site"]) ?? read[0];
  return { read, shown: state.narrow && one !== undefined ? [one] : read };
}

function siteTabs(sites: readonly SiteName[], chosen: SiteName | undefined): VNode {
  const tab = (site: SiteName): VNode =>
    h(
      "button",
      { key: site, type: "button", "aria-pressed": String(site === chosen), onclick: () => look({ site }, true) },
      site,
    );
  return h("div.switch.sites", { role: "group", "aria-label": "Site that is shown" }, sites.map(tab));
}

function siteChips(state: State): Child {
  const all = known(state);
  if (all.length < 3) return null;
  const chosen = state.route.query["sites"]?.split(",") ?? all;
  const toggle = (site: SiteName): void => {
    const next = all.filter((each) => (each === site ? !chosen.includes(each) : chosen.includes(each)));
    look({ sites: next.length === all.length || next.length === 0 ? undefined : next.join(",") });
  };
  return h(
    "div.chips",
    { role: "group", "aria-label": "Sites that are compared" },
    all.map((site) =>
      h(
        "button.chip",
        { key: site, type: "button", "aria-pressed": String(chosen.includes(site)), onclick: () => toggle(site) },
        site,
      ),
    ),
  );
}

function filterForm(state: State, chosen: Table): VNode {
  const texts = chosen.columns.filter(isText);
  const text = (texts.find((column) => !column.in_key) ?? texts[0])?.name;
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const typed = ((event.target as HTMLFormElement).elements.namedItem("filter") as HTMLInputElement).value;
    look({ filter: understood(typed, text), after: undefined });
  };
  const example = text === undefined ? `${chosen.key[0]} = 1` : `${text} ilike '%milk%'`;
  const input = h("input", {
    id: "filter",
    name: "filter",
    type: "search",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: example,
    value: state.route.query["filter"] ?? "",
    onsearch: (event: Event) => (event.target as HTMLInputElement).form?.requestSubmit(),
  });
  return h(
    "form.filter",
    { role: "search", onsubmit: submit },
    field("filter", "Filter", input),
    button("Filter", { type: "submit" }),
  );
}

function toolbar(state: State, chosen: Table, list: Checklist | undefined, asList: boolean): VNode {
  const { order = "", only } = state.route.query;
  const tables = (state.tables.value ?? []).map(({ name }) => ({ value: name, label: name }));
  const orders = [
    { value: "", label: `${chosen.key.join(", ")} (the key)` },
    ...chosen.columns.flatMap(({ name }) => [
      { value: name, label: `${name} ↑` },
      { value: `-${name}`, label: `${name} ↓` },
    ]),
  ];
  const layout = (name: string, label: string, pressed: boolean): VNode =>
    h(
      "button",
      { key: name, type: "button", "aria-pressed": String(pressed), onclick: () => look({ layout: name }, true) },
      label,
    );
  return h(
    "div.toolbar",
    null,
    field(
      "table",
      "Table",
      select("table", chosen.name, tables, (name) =>
        look({ table: name, filter: undefined, order: undefined, after: undefined, row: undefined }),
      ),
    ),
    filterForm(state, chosen),
    field(
      "order",
      "Order",
      select("order", order, orders, (value) => look({ order: value, after: undefined })),
    ),
    h(
      "label.check",
      null,
      h("input", {
        type: "checkbox",
        checked: only === "different",
        onchange: (event: Event) =>
          look({ only: (event.target as HTMLInputElement).checked ? "different" : undefined, after: undefined }),
      }),
      h("span", null, "Only rows that differ"),
    ),
    list === undefined
      ? null
      : h(
          "div.switch",
          { role: "group", "aria-label": "Layout" },
          layout("list", "List", asList),
          layout("grid", "Grid", !asList),
        ),
  );
}

function paging(state: State): Child {
  const { rows, next } = state.grid;
  const { after } = state.route.query;
  const away = Object.entries(state.grid.unreachable);
  const uneven = rows.filter((row) => !row.equal).length;
  return h(
    "footer.paging",
    null,
    h(
      "p",
      { role: "status" },
      `${rows.length} ${rows.length === 1 ? "row" : "rows"}${next === null ? "" : " of more"}, `,
      uneven === 0
        ? `all the same ${everywhere(sitesShown(state))}${away.length === 0 ? "" : " that could be asked"}`
        : `${uneven} ${uneven === 1 ? "differs" : "differ"}`,
    ),
    away.length === 0
      ? null
      : h("p.trouble", null, `Not compared, since they cannot be reached: ${away.map(([site]) => site).join(", ")}`),
    after === undefined ? null : button("First page", { icon: "previous", onclick: () => look({ after: undefined }) }),
    next === null ? null : button(`Next ${PAGE}`, { onclick: () => look({ after: next }) }),
  );
}

function none(state: State, chosen: Table): VNode {
  const { filter, only } = state.route.query;
  if (only !== undefined)
    return empty("No row differs", "Every row of this table is the same at every site that is compared.");
  if (filter !== undefined)
    return empty(
      "No row matches the filter",
      button("Show all rows", { onclick: () => look({ filter: undefined, after: undefined }) }),
    );
  return empty(`${chosen.name} is empty`, "Write a row at any site and watch it arrive at the others.");
}

function data(state: State): Child {
  const chosen = table(state);
  if (chosen === undefined) {
    if (state.tables.problem !== undefined) return problemBox(state.tables.problem, readRows);
    const named = state.route.query["table"];
    if (named !== undefined && state.tables.value !== undefined)
      return empty(
        `There is no table ${named}`,
        button("Show another", { onclick: () => look({ table: undefined, row: undefined, filter: undefined }) }),
      );
    return state.tables.value === undefined
      ? loading("the tables")
      : empty("No tables yet", "Tables with a primary key appear here as soon as the schema's migrations have run.");
  }
  const list = checklist(chosen);
  const asList = list !== undefined && state.route.query["layout"] !== "grid";
  const { read, shown } = siteChoice(state);
  const columns = chosen.columns.filter((column) => !column.in_key);
  const shape = { table: chosen, sites: shown, columns, list: asList ? list : undefined };
  const rows = state.grid.rows.length > 0 || asList ? grid(shape, state) : null;
  const insertButton = asList
    ? null
    : button("Insert a row", {
        icon: "plus",
        tone: "primary",
        edits: true,
        onclick: () => set({ dialog: { kind: "insert", site: shown[0] ?? "server", saving: false } }),
      });
  return [
    h(
      "header",
      null,
      h("h2", { id: "rows" }, "Rows at every site"),
      state.narrow ? null : siteChips(state),
      insertButton,
    ),
    toolbar(state, chosen, list, asList),
    state.narrow ? siteTabs(read, shown[0]) : null,
    problemBox(state.grid.problem, readRows),
    rows,
    state.grid.rows.length > 0 || state.grid.problem !== undefined
      ? null
      : state.grid.loading
        ? loading("the rows")
        : none(state, chosen),
    paging(state),
  ];
}

function overview(state: State): Child {
  const sites = state.cluster.value?.sites;
  // Outside Kubernetes there are only the rows.
  if (sites === undefined) return null;
  return h(
    "div.overview",
    { class: sites.length > 6 ? "many" : "", key: "overview" },
    h(
      "section.panel",
      { "aria-labelledby": "topology" },
      h("header", null, h("h2", { id: "topology" }, "Topology")),
      topology(state),
    ),
    connections(state),
  );
}

export function sitesView(state: State): Child {
  return [
    overview(state),
    h("section.panel.rows", { "aria-labelledby": "rows", key: "rows" }, data(state)),
    rowDetails(state),
  ];
}
