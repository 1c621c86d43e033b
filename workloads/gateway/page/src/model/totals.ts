//! What each counter node knows of an id, side by side, and what that is together. Pure.

export interface Total {
  readonly id: string;
  readonly total: number;
  /** By the ordinal of the node that took them. */
  readonly nodes: Readonly<Record<string, number>>;
}

/** By node, the totals it answered, by id; or nothing if it did not answer. An id that is missing has none there. */
export type Known = Readonly<Record<number, ReadonlyMap<string, Total> | undefined>>;

export interface Side {
  readonly node: number;
  /** What it knows; undefined if it did not answer. */
  readonly total: number | undefined;
  /** What it took itself. */
  readonly took: number | undefined;
  readonly differs: boolean;
}

/** Every node's view of an id. They differ where one says something else than the first that answered. */
export function sides(id: string, nodes: readonly number[], known: Known): readonly Side[] {
  const at = (node: number): number | undefined => {
    const totals = known[node];
    return totals === undefined ? undefined : (totals.get(id)?.total ?? 0);
  };
  const first = nodes.map(at).find((total) => total !== undefined);
  return nodes.map((node) => {
    const total = at(node);
    const took = total === undefined ? undefined : (known[node]?.get(id)?.nodes[String(node)] ?? 0);
    return { node, total, took, differs: total !== undefined && total !== first };
  });
}

/**
 * What all nodes together have counted: what each took, by its own word. A cut hides nothing of it from who can ask both sides. Of a node that
 * does not answer it is the most that others know.
 */
export function together(id: string, known: Known): number {
  const answers = Object.values(known).flatMap((totals) => totals?.get(id) ?? []);
  const takers = new Set(answers.flatMap(({ nodes }) => Object.keys(nodes)));
  const took = (node: string): number => {
    const own = known[Number(node)];
    if (own !== undefined) return own.get(id)?.nodes[node] ?? 0;
    return Math.max(...answers.flatMap(({ nodes }) => nodes[node] ?? []));
  };
  return [...takers].reduce((sum, node) => sum + took(node), 0);
}

/** In the order of the nodes' pages, which is that of code points. */
function compare(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  for (const [index, letter] of left.entries()) {
    const other = right[index];
    if (other === undefined) return 1;
    const difference = (letter.codePointAt(0) ?? 0) - (other.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** The first ids of all nodes' pages of this length. What one of them lacks of these, that node does not have. */
export function firstIds(known: Known, page: number): readonly string[] {
  const all = new Set(Object.values(known).flatMap((totals) => [...(totals?.keys() ?? [])]));
  return [...all].sort(compare).slice(0, page);
}

/** Whether all nodes that answered say the same about every id, and all did answer. */
export function agreement(
  ids: readonly string[],
  nodes: readonly number[],
  known: Known,
): "same" | "differ" | "silent" | "unknown" {
  if (nodes.length === 0) return "unknown";
  if (ids.some((id) => sides(id, nodes, known).some(({ differs }) => differs))) return "differ";
  return nodes.every((node) => known[node] !== undefined) ? "same" : "silent";
}
