// A table that holds only the rows that are seen, whatever the number of items: space stands for the others.

import { h, keyed } from "./dom.js";

const SPARE = 8;

/**
 * `make(item)` → `{node, update(item)}` for rows of one height; `seen(first, last)` is told what is in view.
 * The table keeps `aria-rowcount` and each row its `aria-rowindex`, so that a screen reader knows the whole.
 */
export function virtualRows(scroller, table, make, seen) {
  const above = spacer();
  const body = h("tbody");
  const below = spacer();
  table.append(
    h("tbody", { "aria-hidden": "true" }, above.node),
    body,
    h("tbody", { "aria-hidden": "true" }, below.node),
  );
  const sync = keyed(body, ({ item }) => {
    const row = make(item);
    return {
      node: row.node,
      update: ({ item: now, place }) => (row.node.setAttribute("aria-rowindex", place + 2), row.update(now)),
    };
  });
  let items = [];
  let waiting = false;

  const draw = () => {
    waiting = false;
    const height = rowHeight();
    const first = Math.max(0, Math.floor(scroller.scrollTop / height) - SPARE);
    const last = Math.min(
      items.length,
      Math.ceil((scroller.scrollTop + scroller.clientHeight) / height) + SPARE,
    );
    above.set(first * height);
    below.set((items.length - last) * height);
    table.setAttribute("aria-rowcount", items.length + 1);
    sync(
      items.slice(first, last).map((item, place) => ({ item, place: first + place })),
      ({ item }) => item.id,
    );
    seen(first, last);
  };
  const soon = () => {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  };
  scroller.addEventListener("scroll", soon, { passive: true });
  const watch = new ResizeObserver(soon);
  watch.observe(scroller);
  return { set: (given) => ((items = given), soon()), redraw: soon, close: () => watch.disconnect() };
}

let measured = 0;

function rowHeight() {
  measured ||=
    parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")) *
    parseFloat(getComputedStyle(document.documentElement).fontSize);
  return measured;
}

/** A row of any height, of one cell: a span over columns that are hidden would take their width. */
function spacer() {
  const cell = h("td");
  const node = h("tr", { class: "space" }, cell);
  let known = -1;
  return {
    node,
    set(height) {
      if (height === known) return;
      known = height;
      cell.style.setProperty("height", `${height}px`);
      node.hidden = height === 0;
    },
  };
}
