//! The picture of the cluster, drawn from status: server, Kafka and clients, what goes up and down between them, and where it is cut.

import { empty } from "../dom/parts.ts";
import { type Child, h, type VNode } from "../dom/vdom.ts";
import { type Edge, links, sentence, type SiteLinks } from "../model/links.ts";
import type { State } from "../store.ts";

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const BOX = { width: 136, height: 44 };
const GAP = 16;
const WAY = 84;

function box(at: Box, name: string, note: string, classes: string): VNode {
  const middle = at.x + at.width / 2;
  return h(
    `g.node.${classes}`,
    null,
    h("rect", { x: at.x, y: at.y, width: at.width, height: at.height, rx: 8 }),
    h("text.name", { x: middle, y: at.y + (note === "" ? at.height / 2 + 4 : 19) }, name),
    note === "" ? null : h("text.note", { x: middle, y: at.y + 35 }, note),
  );
}

/** A line from one end to the other; where it is cut there is a gap with two strokes across and the word. */
function edge(
  from: readonly [number, number],
  to: readonly [number, number],
  way: Edge,
  label: { x: number; y: number; anchor: string; inline?: boolean },
): VNode {
  const at = (part: number): [number, number] => [
    from[0] + (to[0] - from[0]) * part,
    from[1] + (to[1] - from[1]) * part,
  ];
  const line = (a: [number, number], b: [number, number], last: boolean): VNode =>
    h("path.line", {
      d: `M${a.join(" ")}L${b.join(" ")}`,
      "marker-end": last ? `url(#${way.cut ? "head-cut" : way.behind ? "head-behind" : "head"})` : null,
    });
  const classes = way.cut ? "cut" : way.behind ? "behind" : "idle";
  const vertical = from[0] === to[0];
  const bar = (part: number): VNode => {
    const [x, y] = at(part);
    return h("path.bar", {
      d: vertical ? `M${x - 6} ${y + 3}L${x + 6} ${y - 3}` : `M${x - 3} ${y + 6}L${x + 3} ${y - 6}`,
    });
  };
  const said = [way.cut ? "cut" : "", way.lag, way.late].filter((each) => each !== "");
  const words = label.inline === true ? [said.join(" · ")] : said;
  const lines = way.cut
    ? [line(at(0), at(0.4), false), bar(0.4), bar(0.6), line(at(0.6), at(1), true)]
    : [line(at(0), at(1), true)];
  return h(
    `g.edge.${classes}`,
    null,
    lines,
    words.map((each, index) =>
      h(
        "text.lag",
        { x: label.x, y: label.y + (index - (words.length - 1) / 2) * 14, "text-anchor": label.anchor },
        each,
      ),
    ),
  );
}

const noteOf = (site: SiteLinks): string => (site.problem === undefined ? site.word : "Problem");
const classOf = (site: SiteLinks): string => (site.problem === undefined ? site.word.toLowerCase() : "problem");

/** Server above, Kafka between, clients below. */
function tall(sites: readonly SiteLinks[]): VNode {
  const clients = sites.filter((site) => site.site !== "server");
  const step = BOX.width + GAP;
  const width = Math.max(clients.length * step - GAP, 3 * step - GAP);
  const inset = (width - (clients.length * step - GAP)) / 2;
  const kafka = { x: 0, y: BOX.height + WAY, width, height: 34 };
  const below = kafka.y + kafka.height + WAY;
  const pair = (site: SiteLinks, middle: number, above: boolean): VNode[] => {
    const [end, bus] = above ? [BOX.height, kafka.y] : [below, kafka.y + kafka.height];
    const gap = above ? 4 : -4;
    const y = (end + bus) / 2 + 4;
    return [
      edge([middle - 14, end + gap], [middle - 14, bus - gap * 2], site.uplink, { x: middle - 24, y, anchor: "end" }),
      edge([middle + 14, bus - gap], [middle + 14, end + gap * 2], site.downlink, {
        x: middle + 24,
        y,
        anchor: "start",
      }),
    ];
  };
  const server = sites.find((site) => site.site === "server");
  return h(
    "svg.topology",
    { viewBox: `-2 -2 ${width + 4} ${below + BOX.height + 4}`, "aria-hidden": "true", "data-wide": width },
    heads(),
    box(kafka, "Kafka", "", "kafka"),
    server === undefined
      ? null
      : h(
          "g",
          { key: "server", "data-site": "server" },
          pair(server, width / 2, true),
          box({ ...BOX, x: width / 2 - BOX.width / 2, y: 0 }, "server", noteOf(server), classOf(server)),
        ),
    clients.map((site, index) => {
      const x = inset + index * step;
      return h(
        "g",
        { key: site.site, "data-site": site.site },
        pair(site, x + BOX.width / 2, false),
        box({ ...BOX, x, y: below }, site.site, noteOf(site), classOf(site)),
      );
    }),
  );
}

/** For a phone: Kafka at the left, the sites below one another. */
function narrow(sites: readonly SiteLinks[]): VNode {
  const [step, width, way] = [60, 330, 142];
  const height = sites.length * step - 16;
  return h(
    "svg.topology",
    { viewBox: `-2 -2 ${width + 4} ${height + 4}`, "aria-hidden": "true" },
    heads(),
    box({ x: 0, y: 0, width: 52, height }, "Kafka", "", "kafka"),
    sites.map((site, index) => {
      const y = index * step;
      const [left, right] = [56, 52 + way - 4];
      const middle = (left + right) / 2;
      return h(
        "g",
        { key: site.site, "data-site": site.site },
        edge([right, y + 14], [left + 4, y + 14], site.uplink, { x: middle, y: y + 8, anchor: "middle", inline: true }),
        edge([left, y + 30], [right - 4, y + 30], site.downlink, {
          x: middle,
          y: y + 44,
          anchor: "middle",
          inline: true,
        }),
        box({ x: 52 + way, y, width: width - 52 - way, height: 44 }, site.site, noteOf(site), classOf(site)),
      );
    }),
  );
}

function heads(): VNode {
  const head = (id: string): VNode =>
    h(
      "marker",
      { id, viewBox: "0 0 8 8", refX: 4, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" },
      h("path", { d: "M1 1l5 3-5 3z" }),
    );
  return h("defs", null, ["head", "head-behind", "head-cut"].map(head));
}

/** The picture, and the same as a list for those who do not see it. */
export function topology(state: State): Child {
  const cluster = state.cluster.value;
  if (cluster === undefined) return null;
  if (cluster.sites.length === 0)
    return empty("No status yet", "The operator has not said anything of the sites so far.");
  const sites = cluster.sites.map(links);
  return h(
    "figure.picture",
    { class: sites.length > 6 ? "many" : "" },
    state.narrow ? narrow(sites) : tall(sites),
    h(
      "figcaption",
      null,
      h(
        "span",
        { "aria-hidden": "true" },
        "Of each site: its uplink with the WAL that Kafka has not acknowledged, and its downlink with the records that are not applied yet.",
      ),
      h(
        "ul.aloud",
        { "aria-label": "Sites and their links to Kafka" },
        sites.map((site) => h("li", { key: site.site }, sentence(site))),
      ),
    ),
  );
}
