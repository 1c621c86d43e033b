//! Reading into a field of the state, one answer at a time: what was asked later wins.

import { call, Problem } from "../api/client.ts";
import { type Loaded, set, type State, state } from "../store.ts";

type Value<K extends keyof State> = State[K] extends Loaded<infer T> ? T : never;
type LoadedField = { [K in keyof State]: State[K] extends Loaded<unknown> ? K : never }[keyof State];

const asked = new Map<string, AbortController>();

export async function load<K extends LoadedField>(
  field: K,
  path: string,
  pick: (answer: never) => Value<K> = (answer) => answer,
): Promise<void> {
  await read(field, async (signal) => pick((await call<unknown>(path, { signal })) as never));
}

export async function read<K extends LoadedField>(
  field: K,
  from: (signal: AbortSignal) => Promise<Value<K>>,
): Promise<void> {
  asked.get(field)?.abort();
  const control = new AbortController();
  asked.set(field, control);
  const { value } = state[field] as Loaded<Value<K>>;
  const kept = value === undefined ? {} : { value };
  set({ [field]: { ...kept, loading: true } } as unknown as Partial<State>);
  try {
    const found = await from(control.signal);
    if (!control.signal.aborted) set({ [field]: { value: found, loading: false } } as unknown as Partial<State>);
  } catch (thrown) {
    if (!control.signal.aborted)
      set({ [field]: { ...kept, problem: Problem.of(thrown), loading: false } } as unknown as Partial<State>);
  }
}
