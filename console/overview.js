// The first view: is it healthy, how much runs, what waits, who works, which jobs are under way.

import { chart } from "./chart.js";
import { h, put, text } from "./dom.js";
import { feeds } from "./feeds.js";
import { conditionTexts } from "./conditions.js";
import { modelKey } from "./fleet.js";
import { clock, duration, figure, milliseconds, NONE, number, percent } from "./format.js";
import { now } from "./frame.js";
import { statusAge } from "./freshness.js";
import { jobLines } from "./joblines.js";
import { lanesPanel } from "./lanes.js";
import { levelBadge } from "./marks.js";
import { nightsPanel } from "./nights.js";
import { placeOf } from "./verdict.js";
import { t } from "./words.js";
import { workerLines } from "./workerlines.js";

export function overview() {
  const verdict = h("section", { class: "verdict", "aria-label": t("nav.overview") });
  const figures = figureList();
  const throughput = chart(t("chart.throughput"), figure);
  const latency = chart(t("chart.latency"), milliseconds);
  const lanes = lanesPanel();
  const jobs = jobLines();
  const workers = workerLines();
  const nights = nightsPanel();
  const node = h(
    "div",
    { class: "stack" },
    h("h1", { class: "hidden-text" }, t("nav.overview")),
    verdict,
    figures.node,
    lanes.node,
    h("div", { class: "wide" }, jobs.node, workers.node),
    h("div", { class: "two" }, throughput.node, latency.node),
    nights.node,
  );
  const judge = () => drawVerdict(verdict);
  const stops = [
    feeds.lanes.watch((value, error) => (lanes.draw(value, error), figures.lanes(value), judge())),
    feeds.workers.watch((value, error) => (workers.draw(value, error), judge())),
    feeds.active.watch(jobs.draw),
    feeds.status.watch(judge),
    feeds.hours.watch(nights.draw),
    feeds.history.watch(
      (value) => value && (figures.history(value), drawCharts(throughput, latency, value), judge()),
    ),
  ];
  const timer = setInterval(judge, 500); // the verdict depends on the age of the status
  stops.push(() => clearInterval(timer));
  return { node, close: () => stops.forEach((stop) => stop()) };
}

function drawVerdict(node) {
  const { level, conditions } = now();
  const said = JSON.stringify([conditions, level, summary(level)]);
  if (node.dataset.said === said) return;
  Object.assign(node.dataset, { said, level });
  put(
    node,
    levelBadge(level),
    h("ul", {}, conditions.length ? conditions.map(line) : h("li", {}, summary(level))),
  );
}

function summary(level) {
  if (level === "lost") {
    const age = statusAge();
    return age === null ? t("verdict.never") : t("verdict.lost", { for: duration(Math.floor(age)) });
  }
  if (level !== "ok") return t("verdict.unknown");
  const workers = feeds.workers.value?.workers ?? [];
  const serving = workers.filter((worker) => worker.state === "serving");
  const held = new Set(workers.flatMap((worker) => worker.models.map(modelKey)));
  return t("verdict.ok", { serving: serving.length, workers: workers.length, models: held.size });
}

/** A condition: its message, beginning and remedy. */
function line(condition) {
  const [message, remedy] = conditionTexts(condition);
  const place = placeOf(condition);
  return h(
    "li",
    { data: { severity: condition.severity, code: condition.code } },
    place ? h("a", { href: place }, message) : message,
    " ",
    h("span", { class: "small muted" }, t("verdict.since", { at: clock(condition.since) })),
    h("div", { class: "small muted" }, remedy),
  );
}

function figureList() {
  const names = ["requests", "latency", "job_rows", "errors", "waiting"];
  const parts = Object.fromEntries(
    names.map((name) => [
      name,
      { value: h("b", {}, NONE), unit: h("span"), more: h("dd", { class: "more" }, "\u00a0") },
    ]),
  );
  const node = h(
    "div",
    { class: "figures" },
    names.map((name) =>
      h(
        "dl",
        { class: "panel figure" },
        h("dt", {}, t(`figure.${name}`)),
        h("dd", {}, parts[name].value, parts[name].unit),
        parts[name].more,
      ),
    ),
  );
  const set = (name, value, unit, more) => {
    text(parts[name].value, value);
    text(parts[name].unit, unit);
    text(parts[name].more, more || "\u00a0");
  };
  return {
    node,
    history: (value) => setHistory(set, value),
    lanes: (value) => value && setLanes(set, value.lanes),
  };
}

function setHistory(set, history) {
  const { total, slot_s } = history;
  const recent = recentSlots(history);
  const rate = (values) => recent.places.reduce((sum, place) => sum + values[place], 0) / recent.seconds;
  set(
    "requests",
    figure(rate(total.requests)),
    t("unit.per_s"),
    t("figure.rows_now", { rate: figure(rate(total.rows)) }),
  );
  set("job_rows", figure(rate(total.job_rows)), t("unit.rows_per_s"), t("figure.now"));
  const newest = total.p50_ms.findLastIndex(
    (ms, place) => ms !== null && place >= total.p50_ms.length - 60 / slot_s - 1,
  );
  set(
    "latency",
    newest < 0 ? NONE : milliseconds(total.p50_ms[newest]),
    "",
    newest < 0 ? "" : t("figure.p99", { ms: milliseconds(total.p99_ms[newest]) }),
  );
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const errors = sum(total.errors);
  const all = errors + sum(total.requests);
  set(
    "errors",
    number(errors),
    "",
    all ? t("figure.of", { share: percent(errors / all, 2), n: number(all) }) : "",
  );
}

function setLanes(set, lanes) {
  const online = lanes.reduce((sum, lane) => sum + lane.online.rows_waiting, 0);
  const jobs = lanes.reduce((sum, lane) => sum + lane.offline.rows_waiting, 0);
  set(
    "waiting",
    number(online + jobs),
    t("unit.rows"),
    t("figure.lanes", { online: number(online), jobs: number(jobs) }),
  );
}

/** The slots of about the last minute, with how many seconds of them are over. */
function recentSlots({ slots, slot_s, now: moment }) {
  const end = new Date(moment).getTime() / 1000;
  const places = [slots.length - 3, slots.length - 2, slots.length - 1];
  const seconds = places.reduce(
    (sum, place) => sum + Math.min(slot_s, Math.max(0, end - new Date(slots[place]).getTime() / 1000)),
    0,
  );
  return { places, seconds: Math.max(seconds, 1) };
}

function drawCharts(throughput, latency, history) {
  const { slots, slot_s, total } = history;
  const times = slots.slice(0, -1).map((moment) => new Date(moment)); // the last is not full yet
  const rate = (values) => values.slice(0, -1).map((value) => value / slot_s);
  const online = rate(total.rows);
  const jobs = rate(total.job_rows);
  throughput.draw({
    times,
    series: [
      { name: t("chart.online"), values: online },
      { name: t("chart.jobs"), values: jobs },
    ],
    about: t("chart.throughput.about", {
      online: figure(online.at(-1)),
      jobs: figure(jobs.at(-1)),
      most_online: figure(Math.max(...online)),
      most_jobs: figure(Math.max(...jobs)),
    }),
  });
  const p50 = total.p50_ms.slice(0, -1);
  const p99 = total.p99_ms.slice(0, -1);
  latency.draw({
    times,
    series: [
      { name: t("chart.p99"), values: p99 },
      { name: t("chart.p50"), values: p50 },
    ],
    about: t("chart.latency.about", {
      p50: milliseconds(p50.at(-1)),
      p99: milliseconds(p99.at(-1)),
      most: milliseconds(Math.max(...p99.map((ms) => ms ?? 0))),
    }),
  });
}
