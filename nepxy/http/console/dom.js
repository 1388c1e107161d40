// Nodes from values. Text is always text: nothing here, or anywhere in the console, makes markup from data.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. `on…` are handlers, true and false are attributes that are there or not, null is left out. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Put these in the place of all that a node holds. */
export function fill(node, ...children) {
  node.replaceChildren(...nodes(children));
  return node;
}

/** Change a node's children into these with as few changes as may be: focus, scroll and selection stay. */
export function patch(node, ...children) {
  const focused = document.activeElement;
  reconcile(node, nodes(children).map(asNode));
  // A node that changes its place loses the focus on the way.
  if (focused !== document.activeElement && node.contains(focused)) focused.focus({ preventScroll: true });
  return node;
}

/** Words for a screen reader alone. */
export function spoken(text) {
  return h("span", { class: "spoken" }, text);
}

function filled(node, attributes, children) {
  node.handled = [];
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false || name === "value") continue;
    if (name.startsWith("on")) {
      node[name] = value;
      node.handled.push(name);
    } else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...nodes(children));
  // Last: a select has its options only now.
  if (attributes.value !== undefined && attributes.value !== null) node.value = attributes.value;
  return node;
}

function nodes(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

function reconcile(parent, wanted) {
  const stays = new Set(wanted.map(keyOf));
  for (const child of [...parent.childNodes]) if (keyOf(child) && !stays.has(keyOf(child))) child.remove();
  const keyed = new Map([...parent.childNodes].filter(keyOf).map((child) => [keyOf(child), child]));
  let at = parent.firstChild;
  for (const want of wanted) {
    const key = keyOf(want);
    const have = key ? keyed.get(key) : at && !keyOf(at) ? at : null;
    if (!have || !alike(have, want)) {
      parent.insertBefore(want, at);
      continue;
    }
    if (have === at) at = at.nextSibling;
    else parent.insertBefore(have, at);
    update(have, want);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function update(have, want) {
  if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.data !== want.data) have.data = want.data;
    return;
  }
  for (const { name, value } of want.attributes) if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  // What a person opened stays open.
  for (const { name } of [...have.attributes]) if (name !== "open" && !want.hasAttribute(name)) have.removeAttribute(name);
  for (const name of have.handled ?? []) have[name] = null;
  for (const name of want.handled ?? []) have[name] = want[name];
  have.handled = want.handled;
  reconcile(have, [...want.childNodes]);
}

function alike(have, want) {
  return have.nodeType === want.nodeType && have.nodeName === want.nodeName;
}

function keyOf(node) {
  return node.dataset?.key ?? null;
}
