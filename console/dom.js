// Elements made from data. Text is always text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element; `on…` props are listeners, `data` goes to its dataset, null and false are left out. */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same in SVG. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) set(element, name, value);
  element.append(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "data") Object.assign(element.dataset, value);
  else if (name === "style")
    for (const [key, part] of Object.entries(value)) element.style.setProperty(key, part);
  else element.setAttribute(name, value === true ? "" : value);
}

/** Set a text, and touch the document only where it differs: screen readers hear of real changes alone. */
export function text(node, value) {
  const wanted = String(value ?? "");
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** Replace what an element holds. */
export function put(element, ...children) {
  element.replaceChildren(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/**
 * Keep an element's children in step with items, by key: a child that stays is updated and not made anew, so
 * that focus, selection and open menus survive. `make(item)` returns `{node, update(item)}`.
 */
export function keyed(parent, make) {
  let known = new Map();
  return (items, keyOf) => {
    const next = new Map();
    let place = parent.firstChild;
    for (const item of items) {
      const key = keyOf(item);
      const part = known.get(key) ?? make(item);
      part.update(item);
      next.set(key, part);
      if (part.node === place) place = place.nextSibling;
      else parent.insertBefore(part.node, place);
    }
    for (const [key, part] of known) if (!next.has(key)) part.node.remove();
    known = next;
  };
}

/** Say something to screen readers, once. */
export function say(message) {
  text(document.getElementById("said"), message);
}
