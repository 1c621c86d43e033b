//! A description of elements, and the smallest change that makes the document match it. What did not change is left alone, so that
//! focus, selection and what somebody is typing survive everything that arrives meanwhile.

export type Child = VNode | string | number | false | null | undefined | Child[];
export type Props = Record<string, unknown>;

export interface VNode {
  readonly tag: string;
  readonly key: string | undefined;
  readonly props: Props;
  readonly children: readonly (VNode | string)[];
}

interface Held extends Element {
  vnode?: VNode;
  handlers?: Map<string, (event: Event) => void>;
}

const SVG = "http://www.w3.org/2000/svg";
/** Set as properties, since the attribute is only where they begin. */
const LIVE = new Set(["value", "checked", "indeterminate", "disabled", "open", "scrollTop"]);

function flatten(child: Child, into: (VNode | string)[]): void {
  if (child === null || child === undefined || child === false) return;
  if (Array.isArray(child)) for (const each of child) flatten(each, into);
  else into.push(typeof child === "number" ? String(child) : child);
}

/** An element: `h("button.quiet", {onclick}, "Save")`. Props: `key` (who it is among its siblings), `ref` (called with the element when made), on…, attributes. */
export function h(name: string, props: Props | null = null, ...children: Child[]): VNode {
  const [tag = "div", ...classes] = name.split(".");
  const all: Props = { ...props };
  const key = all["key"] === undefined ? undefined : String(all["key"]);
  delete all["key"];
  const given = all["class"];
  if (typeof given === "string" && given !== "") classes.push(given);
  if (classes.length > 0) all["class"] = classes.join(" ");
  const flat: (VNode | string)[] = [];
  flatten(children, flat);
  return { tag, key, props: all, children: flat };
}

/** One listener an event for the element's whole life; which function it calls is what changes. */
function listen(element: Held, type: string, handler: unknown): void {
  element.handlers ??= new Map();
  if (!element.handlers.has(type)) element.addEventListener(type, (event) => element.handlers?.get(type)?.(event));
  element.handlers.set(type, typeof handler === "function" ? (handler as (event: Event) => void) : () => undefined);
}

function setProp(element: Element, name: string, value: unknown): void {
  if (name === "ref") return;
  if (name.startsWith("on")) listen(element, name.slice(2), value);
  else if (LIVE.has(name)) (element as unknown as Record<string, unknown>)[name] = value ?? false;
  else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

function create(vnode: VNode | string, svg: boolean): Node {
  if (typeof vnode === "string") return document.createTextNode(vnode);
  const inside = svg || vnode.tag === "svg";
  const element: Held = inside ? document.createElementNS(SVG, vnode.tag) : document.createElement(vnode.tag);
  element.vnode = vnode;
  for (const child of vnode.children) element.append(create(child, inside));
  // After the children: a select's value is one of its options.
  for (const [name, value] of Object.entries(vnode.props)) setProp(element, name, value);
  const ref = vnode.props["ref"];
  // When it is in the document: focus and showModal need that.
  if (typeof ref === "function") queueMicrotask(() => (ref as (element: Element) => void)(element));
  return element;
}

function matches(node: Node, vnode: VNode | string): boolean {
  if (typeof vnode === "string") return node.nodeType === Node.TEXT_NODE;
  const was = (node as Held).vnode;
  return was !== undefined && was.tag === vnode.tag && was.key === vnode.key;
}

function patch(node: Node, vnode: VNode | string, svg: boolean): void {
  if (typeof vnode === "string") {
    if ((node as Text).data !== vnode) (node as Text).data = vnode;
    return;
  }
  const element = node as Held;
  const was = element.vnode;
  if (was === vnode || was === undefined) return;
  element.vnode = vnode;
  const inside = svg || vnode.tag === "svg";
  reconcile(element, vnode.children, inside);
  for (const name of Object.keys(was.props)) if (!(name in vnode.props)) setProp(element, name, undefined);
  for (const [name, value] of Object.entries(vnode.props)) if (was.props[name] !== value) setProp(element, name, value);
}

/** Children with a key are found wherever they were; the others by their kind, in order. Nothing is moved that stands right already. */
function reconcile(parent: Element, wanted: readonly (VNode | string)[], svg: boolean): void {
  const keyed = new Map<string, Node>();
  const rest: Node[] = [];
  for (const node of parent.childNodes) {
    const key = (node as Held).vnode?.key;
    if (key === undefined) rest.push(node);
    else keyed.set(key, node);
  }
  let unkeyed = 0;
  const found = wanted.map((vnode) => {
    const key = typeof vnode === "string" ? undefined : vnode.key;
    if (key !== undefined) {
      const same = keyed.get(key);
      return same !== undefined && matches(same, vnode) ? same : undefined;
    }
    // The next of its kind: what comes or goes before it does not make it another one.
    const at = rest.findIndex((node, index) => index >= unkeyed && matches(node, vnode));
    if (at < 0) return undefined;
    unkeyed = at + 1;
    return rest[at];
  });
  const kept = new Set(found);
  for (const node of [...parent.childNodes]) if (!kept.has(node)) (node as ChildNode).remove();
  let cursor = parent.firstChild;
  wanted.forEach((vnode, index) => {
    const node = found[index];
    if (node === undefined) {
      parent.insertBefore(create(vnode, svg), cursor);
      return;
    }
    patch(node, vnode, svg);
    if (node === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(node, cursor);
  });
}

/** Makes the content of `container` what `children` say. */
export function render(container: Element, children: Child): void {
  const flat: (VNode | string)[] = [];
  flatten(children, flat);
  reconcile(container, flat, false);
}
