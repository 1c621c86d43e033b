//! Times and durations in words.

const UNITS: readonly (readonly [seconds: number, name: string])[] = [
  [86_400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

/** The two largest units: `300 ms`, `4.2 s`, `12 s`, `4 min 5 s`, `3 h 20 min`, `2 d 4 h`. */
export function duration(milliseconds: number): string {
  const ms = Math.max(0, milliseconds);
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1).replace(".0", "")} s`;
  const seconds = Math.round(ms / 1000);
  const largest = UNITS.findIndex(([size]) => seconds >= size);
  const [size, name] = UNITS[largest] ?? [1, "s"];
  const next = UNITS[largest + 1];
  const head = `${Math.floor(seconds / size)} ${name}`;
  const rest = next === undefined ? 0 : Math.floor((seconds % size) / next[0]);
  return rest === 0 || next === undefined ? head : `${head} ${rest} ${next[1]}`;
}

/** How long since `then`; `just now` below a second, also where clocks disagree a little. */
export function since(then: number, now: number): string {
  return now - then < 1000 ? "just now" : `${duration(now - then)} ago`;
}

/** Milliseconds of `30s`, `5m` or `2h`, as spec.partition.healAfter is written; undefined for anything else. */
export function parseHealAfter(text: string): number | undefined {
  const match = /^([1-9]\d{0,5})([smh])$/.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * { s: 1000, m: 60_000, h: 3_600_000 }[match[2] as "s" | "m" | "h"];
}

const pad = (number: number, places: number): string => String(number).padStart(places, "0");

/** The time of day as the reader's clock shows it: `14:03:07.512`. */
export function clock(at: number, fractions = true): string {
  const date = new Date(at);
  const time = `${pad(date.getHours(), 2)}:${pad(date.getMinutes(), 2)}:${pad(date.getSeconds(), 2)}`;
  return fractions ? `${time}.${pad(date.getMilliseconds(), 3)}` : time;
}

/** With the day in front where it is not today's. */
export function moment(at: number, now: number, fractions = false): string {
  const [date, today] = [new Date(at), new Date(now)];
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1, 2)}-${pad(date.getDate(), 2)}`;
  return date.toDateString() === today.toDateString() ? clock(at, fractions) : `${day} ${clock(at, fractions)}`;
}

/** `1.4 MB`. */
export function bytes(count: number): string {
  const names = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(names.length - 1, count < 1000 ? 0 : Math.floor(Math.log10(count) / 3));
  const value = count / 1000 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${names[power]}`;
}
