// Statuses as a shape and a word. Shapes differ without their colours: check, triangle, cross, ring, dots, bars.

import { h, svg } from "./dom.js";
import { known, t } from "./words.js";

const SHAPES = {
  check: [["path", { d: "M2.5 6.5 5 9l4.5-6", class: "shape-line" }]],
  triangle: [["path", { d: "M6 1 11.5 11h-11z", class: "shape" }]],
  cross: [["path", { d: "M2.5 2.5l7 7m0-7-7 7", class: "shape-line" }]],
  ring: [["circle", { cx: 6, cy: 6, r: 4, class: "shape-line" }]],
  play: [["path", { d: "M3 1.5 10.5 6 3 10.5z", class: "shape" }]],
  bars: [["path", { d: "M3 2v8M9 2v8", class: "shape-line" }]],
  up: [["path", { d: "M6 10.5v-8M2.5 5.5 6 2l3.5 3.5", class: "shape-line" }]],
  dash: [["path", { d: "M2 6h8", class: "shape-line" }]],
  dots: [2, 6, 10].map((cx) => ["circle", { cx, cy: 6, r: 1.4, class: "shape" }]),
};

const LEVELS = {
  ok: ["ok", "check"],
  warn: ["warn", "triangle"],
  bad: ["bad", "cross"],
  lost: ["bad", "dash"],
  unknown: ["idle", "dots"],
};
const JOBS = {
  uploading: ["info", "up"],
  queued: ["idle", "dots"],
  running: ["info", "play"],
  paused: ["warn", "bars"],
  canceling: ["idle", "dash"],
  canceled: ["idle", "dash"],
  succeeded: ["ok", "check"],
  failed: ["bad", "cross"],
};
const WORKERS = {
  starting: ["info", "dots"],
  serving: ["ok", "check"],
  draining: ["warn", "bars"],
  drained: ["warn", "bars"],
  unknown: ["idle", "dash"],
};
const HELD = { loading: ["info", "dots"], loaded: ["ok", "check"], failed: ["bad", "cross"] };
const LANES = {
  idle: ["idle", "ring"],
  flowing: ["info", "play"],
  behind: ["warn", "triangle"],
  stuck: ["bad", "cross"],
};

function shape(name) {
  return svg(
    "svg",
    { viewBox: "0 0 12 12", "aria-hidden": "true" },
    ...SHAPES[name].map(([tag, props]) => svg(tag, props)),
  );
}

export function badge([tone, form], words, title) {
  return h("span", { class: "badge", data: { tone }, title }, shape(form), words);
}

function word(prefix, name) {
  return known(`${prefix}.${name}`) ? t(`${prefix}.${name}`) : name;
}

const UNKNOWN = ["idle", "dots"];

export const levelBadge = (level) => badge(LEVELS[level], t(`level.${level}`));
export const jobBadge = (state, failed = 0) =>
  state === "succeeded" && failed
    ? badge(["warn", "triangle"], t("state.succeeded.failed"))
    : badge(JOBS[state] ?? UNKNOWN, word("state", state));
export const workerBadge = (state) => badge(WORKERS[state] ?? UNKNOWN, word("worker", state));
export const laneBadge = (state) => badge(LANES[state], t(`lanes.state.${state}`));

/** A model version in a worker: its name, and how far it is where it is not loaded. */
export function heldBadge(key, held) {
  const [tone, form] = HELD[held.state] ?? UNKNOWN;
  const words = held.state === "loaded" ? key : `${key} ${word("held", held.state)}`;
  return badge([tone, form], words, held.reason || undefined);
}

/** A bar of parts of one, with its words for those who do not see it. */
export function meter(shares, label, tone) {
  const bars = shares.map(() => h("i"));
  const node = h(
    "span",
    { class: "meter", role: "img", "aria-label": label, data: tone ? { tone } : {} },
    ...bars,
  );
  const draw = (parts, words, mood) => {
    let from = 0;
    parts.forEach((part, place) => {
      const width = Math.max(0, Math.min(part, 1 - from));
      bars[place].style.setProperty("left", `${from * 100}%`);
      bars[place].style.setProperty("width", `${width * 100}%`);
      from += width;
    });
    node.setAttribute("aria-label", words);
    if (mood) node.dataset.tone = mood;
    else delete node.dataset.tone;
  };
  draw(shares, label, tone);
  return { node, draw };
}
