//! A version is 64 bits: microseconds since the Unix epoch, shifted left by 10, or-ed with the number of the site that wrote.

export interface Written {
  /** Milliseconds since the epoch, with fractions. */
  readonly at: number;
  readonly site: string;
}

export function siteOfNode(node: number): string {
  return node === 0 ? "server" : `client-${node}`;
}

/** When and where a version was made; undefined for what is no version. */
export function decode(version: string | null | undefined): Written | undefined {
  if (version === null || version === undefined || !/^-?\d{1,19}$/.test(version)) return undefined;
  const bits = BigInt(version);
  if (bits < 0n) return undefined;
  return { at: Number(bits >> 10n) / 1000, site: siteOfNode(Number(bits & 1023n)) };
}

/** Negative, 0 or positive as `a` is older, the same or newer; what is missing is oldest. */
export function compare(a: string | null | undefined, b: string | null | undefined): number {
  const [left, right] = [toBits(a), toBits(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

function toBits(version: string | null | undefined): bigint {
  return version !== null && version !== undefined && /^-?\d+$/.test(version) ? BigInt(version) : -(2n ** 63n);
}
