//! The REST API over fetch: JSON in and out, and every failure as a Problem with words a person can use.

/** What went wrong: the API's problem document, or that nobody answered. */
export class Problem extends Error {
  readonly status: number;
  /** Such as `changed-since`; `unreachable` when there was no answer. */
  readonly kind: string;
  readonly title: string;
  readonly document: Record<string, unknown>;

  constructor(status: number, kind: string, title: string, detail: string, document: Record<string, unknown> = {}) {
    super(detail);
    this.status = status;
    this.kind = kind;
    this.title = title;
    this.document = document;
  }

  static of(thrown: unknown): Problem {
    if (thrown instanceof Problem) return thrown;
    return new Problem(
      0,
      "unreachable",
      "No answer",
      `The gateway did not answer: ${thrown instanceof Error ? thrown.message : String(thrown)}`,
    );
  }
}

async function problem(response: Response): Promise<Problem> {
  const text = await response.text();
  try {
    const document = JSON.parse(text) as Record<string, unknown>;
    const kind = String(document["type"] ?? "").replace(/^urn:synccluster:problem:/, "");
    const title = String(document["title"] ?? response.statusText);
    return new Problem(response.status, kind, title, String(document["detail"] ?? title), document);
  } catch {
    return new Problem(
      response.status,
      "",
      response.statusText || `HTTP ${response.status}`,
      text.slice(0, 300) || `The gateway answered ${response.status}.`,
    );
  }
}

/** Called when the session is missing or over. */
let unauthorized: () => void = () => undefined;
export function onUnauthorized(then: () => void): void {
  unauthorized = then;
}

export interface Options {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  body?: unknown;
  ifMatch?: string;
  ifNoneMatch?: "*";
  signal?: AbortSignal;
}

export async function send(path: string, options: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json" };
  const init: RequestInit = { method: options.method ?? "GET", headers, credentials: "same-origin", cache: "no-store" };
  if (options.signal !== undefined) init.signal = options.signal;
  if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(options.body);
  }
  if (options.ifMatch !== undefined) headers["If-Match"] = `"${options.ifMatch}"`;
  if (options.ifNoneMatch !== undefined) headers["If-None-Match"] = options.ifNoneMatch;
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, init);
  } catch (thrown) {
    throw Problem.of(thrown);
  }
  if (response.ok) return response;
  const failed = await problem(response);
  if (response.status === 401) unauthorized();
  throw failed;
}

/** Why a stream was refused, which an EventSource does not tell; undefined where it would not be now, or where nobody says why. */
export async function refusal(address: string): Promise<Problem | undefined> {
  const control = new AbortController();
  try {
    const response = await fetch(address, { signal: control.signal, credentials: "same-origin", cache: "no-store" });
    const found = response.ok ? undefined : await problem(response);
    return found?.kind === "" ? undefined : found;
  } catch {
    return undefined;
  } finally {
    control.abort();
  }
}

/** The answer as JSON; undefined where there is none. */
export async function call<T>(path: string, options: Options = {}): Promise<T> {
  const response = await send(path, options);
  const text = await response.text();
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

/** `?a=1&b=2`, without what is empty. */
export function query(parameters: Record<string, string | number | undefined | null>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length === 0 ? "" : `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}

/** A name as one segment of a path. */
export const segment = encodeURIComponent;
