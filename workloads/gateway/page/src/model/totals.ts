//! What each counter node knows of an id, side by side. Pure.

export interface Total {
  readonly id: string;
  readonly total: number;
  /** By the ordinal of the node that took them. */
  readonly nodes: Readonly<Record<string, number>>;
}

/** By node, what it answered: totals by id, or nothing if it did not answer. */
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
  const at = (node: number): Total | undefined => known[node]?.get(id);
  const first = nodes.map(at).find((total) => total !== undefined)?.total;
  return nodes.map((node) => {
    const mine = at(node);
    return {
      node,
      total: mine?.total,
      took: mine === undefined ? undefined : (mine.nodes[String(node)] ?? 0),
      differs: mine !== undefined && mine.total !== first,
    };
  });
}

/** Whether all nodes that answered say the same about every id, and all did answer. */
export function agreement(
  ids: readonly string[],
  nodes: readonly number[],
  known: Known,
): "same" | "differ" | "silent" | "unknown" {
  if (nodes.length === 0) return "unknown";
  const all = ids.flatMap((id) => sides(id, nodes, known));
  if (all.some(({ differs }) => differs)) return "differ";
  return nodes.every((node) => known[node] !== undefined) ? "same" : "silent";
}
