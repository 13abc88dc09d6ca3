// Small line charts in SVG: up to two series over time, with a cursor that names the values under it.

import { h, put, svg, text } from "./dom.js";
import { clock, compact, day, NONE } from "./format.js";
import { t } from "./words.js";

const WIDTH = 640;
const HEIGHT = 152;
const LEFT = 40;
const BOTTOM = 20;
const TOP = 8;
const DAY_MS = 86_400_000;

/**
 * A figure that is drawn anew from `{times, series: [{name, values}], about}`; `show` writes one value, and
 * `every` is the number of times from one row of the table to the next.
 */
export function chart(title, show, every = 10) {
  const picture = svg("svg", {
    class: "chart",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    role: "img",
  });
  const legend = h("div", { class: "legend" });
  const table = h("div", { class: "scroll" });
  const more = h("details", { class: "small" }, h("summary", {}, t("chart.table")), table);
  const node = h(
    "section",
    { class: "panel" },
    h("header", {}, h("h2", {}, title), h("span", { class: "end" }, legend)),
    h("div", { class: "body stack" }, picture, more),
  );
  let data = null;
  const draw = (given) => {
    data = given;
    picture.setAttribute("aria-label", `${title}. ${given.about}`);
    resize(picture);
    drawLegend(legend, given, given.times.length - 1, show);
    drawLines(picture, given);
    if (more.open) drawTable(table, given, show, title, every);
  };
  more.addEventListener("toggle", () => more.open && data && drawTable(table, data, show, title, every));
  picture.addEventListener("pointermove", (event) => data && point(picture, legend, data, event, show));
  picture.addEventListener(
    "pointerleave",
    () => data && drawLegend(legend, data, data.times.length - 1, show, picture),
  );
  new ResizeObserver(() => data && draw(data)).observe(picture);
  return { node, draw };
}

function resize(picture) {
  const width = Math.round(picture.clientWidth) || WIDTH;
  const height = Math.round(picture.clientHeight) || HEIGHT;
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
}

function frame(picture) {
  const [, , width, height] = picture.getAttribute("viewBox").split(" ").map(Number);
  return { width, height, left: LEFT, bottom: height - BOTTOM };
}

function drawLines(picture, { times, series }) {
  const { width, left, bottom } = frame(picture);
  const top = nice(Math.max(0, ...series.flatMap((one) => one.values.filter((value) => value !== null))));
  const x = (place) => left + (place / Math.max(1, times.length - 1)) * (width - left - 2);
  const y = (value) => bottom - (value / top) * (bottom - TOP);
  const grid = [0, 0.5, 1].flatMap((part) => [
    svg("line", { class: "grid", x1: left, x2: width, y1: y(top * part), y2: y(top * part) }),
    label(left - 6, y(top * part) + 4, compact(top * part), "end"),
  ]);
  const last = times.length - 1;
  const days = times.length > 1 && times[last] - times[0] > 2 * DAY_MS;
  const labeled = new Set([0, 0.25, 0.5, 0.75, 1].map((part) => Math.round(part * last)));
  const hours = [...labeled].map((place) => {
    const side = place === 0 ? "start" : place === last ? "end" : "middle";
    return label(x(place), bottom + 15, days ? day(times[place]) : clock(times[place]).slice(-8, -3), side);
  });
  const lines = series.flatMap((one, number) => strokes(one.values, x, y, bottom, number + 1));
  picture.replaceChildren(
    ...grid,
    ...hours,
    ...lines,
    svg("line", { class: "cursor", y1: TOP, y2: bottom, visibility: "hidden" }),
  );
}

function strokes(values, x, y, bottom, number) {
  return runs(values).flatMap(([from, to]) => {
    const points = values
      .slice(from, to)
      .map((value, place) => `${x(from + place).toFixed(1)} ${y(value).toFixed(1)}`);
    if (points.length === 1) points.push(points[0].replace(/^\S+/, (at) => String(Number(at) + 1.5)));
    const line = `M${points.join("L")}`;
    const area = `${line}L${x(to - 1).toFixed(1)} ${bottom}L${x(from).toFixed(1)} ${bottom}Z`;
    return [
      svg("path", { class: `area a${number}`, d: area }),
      svg("path", { class: `line s${number}`, d: line }),
    ];
  });
}

/** Where values stand without a gap: pairs of first and beyond-last place. */
function runs(values) {
  const found = [];
  values.forEach((value, place) => {
    if (value === null) return;
    const last = found.at(-1);
    if (last && last[1] === place) last[1] = place + 1;
    else found.push([place, place + 1]);
  });
  return found;
}

function label(x, y, words, anchor) {
  return svg("text", { class: "axis", x, y, "text-anchor": anchor }, words);
}

/** The next of 1, 2, 5 · 10ⁿ. */
function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

function drawLegend(legend, { series, times }, place, show, picture) {
  picture?.querySelector(".cursor")?.setAttribute("visibility", "hidden");
  const keys = series.map(({ name, values }, number) => {
    const line = svg(
      "svg",
      { viewBox: "0 0 20 8", "aria-hidden": "true" },
      svg("path", { class: `line s${number + 1}`, d: "M1 4h18", "stroke-width": 2 }),
    );
    return h("span", {}, line, name, h("b", {}, values[place] === null ? NONE : show(values[place])));
  });
  put(legend, place < times.length - 1 ? h("span", {}, clock(times[place])) : null, keys);
}

function point(picture, legend, data, event, show) {
  const { width, left } = frame(picture);
  const box = picture.getBoundingClientRect();
  const share = (event.clientX - box.left - left) / (width - left - 2);
  const place = Math.round(Math.min(1, Math.max(0, share)) * (data.times.length - 1));
  drawLegend(legend, data, place, show);
  const at = left + (place / Math.max(1, data.times.length - 1)) * (width - left - 2);
  const cursor = picture.querySelector(".cursor");
  for (const [name, value] of [
    ["x1", at],
    ["x2", at],
    ["visibility", "visible"],
  ])
    cursor?.setAttribute(name, value);
}

function drawTable(box, { times, series }, show, title, every) {
  const shown = times.map((_, place) => place).filter((place) => (times.length - 1 - place) % every === 0);
  const head = h(
    "tr",
    {},
    h("th", { scope: "col" }, t("chart.time")),
    series.map((one) => h("th", { scope: "col", class: "number" }, one.name)),
  );
  const rows = shown.map((place) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, clock(times[place])),
      series.map(({ values }) =>
        h("td", { class: "number" }, values[place] === null ? NONE : show(values[place])),
      ),
    ),
  );
  const caption = h("caption", { class: "hidden-text" });
  text(caption, title);
  put(box, h("table", {}, caption, h("thead", {}, head), h("tbody", {}, rows)));
}
