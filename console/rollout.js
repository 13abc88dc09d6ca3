// The running or the newest rollout of a model: its step, rules, gate and reason, and both versions side by side.

import { chart } from "./chart.js";
import { h, put } from "./dom.js";
import { clock, duration, milliseconds, NONE, number, percent } from "./format.js";
import { badge } from "./marks.js";
import { table } from "./panels.js";
import { t } from "./words.js";

const STATES = { running: ["info", "play"], promoted: ["ok", "check"], rolled_back: ["bad", "cross"] };
const CHARTS = {
  share: (value) => percent(value, 1),
  errors: (value) => percent(value, 2),
  p99: milliseconds,
};

/** `draw(model, rollout, hour)`: `rollout` with its history, `hour`: `GET /history` of the model, or null. */
export function rolloutPart() {
  const about = h("div", { class: "stack" });
  const charts = Object.fromEntries(
    Object.entries(CHARTS).map(([name, show]) => [name, chart(t(`rollout.${name}`), show)]),
  );
  const disagreement = chart(t("rollout.disagreement"), (value) => percent(value, 3), 1);
  const pictures = h("div", { class: "two" }, Object.values(charts).map((one) => one.node), disagreement.node);
  const node = h("div", { class: "stack", hidden: true }, about, pictures);
  return {
    node,
    draw(model, rollout, hour) {
      node.hidden = !rollout;
      if (!rollout) return;
      drawAbout(about, rollout);
      drawHour(charts, model, rollout, hour);
      drawDisagreement(disagreement, rollout.history);
    },
  };
}

function drawAbout(box, rollout) {
  const key = JSON.stringify(rollout);
  if (box.dataset.shown === key) return;
  box.dataset.shown = key;
  const { from_version: of, to_version: to, rules } = rollout;
  const state = badge(STATES[rollout.state] ?? STATES.running, t(`rollout.state.${rollout.state}`));
  const step = t("rollout.step", {
    n: rollout.step + 1,
    of: rollout.steps.length,
    percent: number(rollout.percent, 2),
    hold: duration(rollout.hold_s),
  });
  const facts = [
    ["rollout.step.name", step],
    ["rollout.began", clock(new Date(rollout.step_began_at_ms))],
    ["rollout.rules", rulesText(rules)],
    ["rollout.gate", rollout.gate && gateText(rollout.gate)],
    ["rollout.reason", rollout.reason],
  ];
  const rows = facts.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", {}, t(name)), h("dd", {}, value)]);
  const heading = h("h3", {}, t("rollout.title", { of, to }), " ", state);
  put(box, heading, h("dl", { class: "facts" }, rows), steps(rollout));
}

function rulesText(rules) {
  const words = [
    t("rollout.rule.errors", { share: percent(rules.max_error_rate, 2) }),
    t("rollout.rule.p99", { ratio: number(rules.max_p99_ratio, 2) }),
    t("rollout.rule.predict", { ratio: number(rules.max_predict_ratio, 2) }),
    t("rollout.rule.requests", { n: number(rules.min_requests) }),
  ];
  if (rules.max_disagreement !== null)
    words.push(t("rollout.rule.disagreement", { share: percent(rules.max_disagreement, 3) }));
  return words.join(" · ");
}

function gateText({ job, passed, figures, max_disagreement: limit }) {
  const words = passed ? t("rollout.gate.passed") : figures ? t("rollout.gate.failed") : t("rollout.gate.waits");
  const most = t("rollout.rule.disagreement", { share: percent(limit, 3) });
  return [h("a", { href: `#/jobs/${job}` }, words), ` · ${[most, figures].filter(Boolean).join(" · ")}`];
}

/** A row per step, with the figures of both versions. */
function steps({ from_version: of, to_version: to, history }) {
  if (!history.length) return null;
  const heads = [[t("rollout.percent"), "number"], [t("rollout.began")]];
  for (const version of [of, to])
    for (const name of ["requests", "errors", "p99"]) heads.push([`${version}: ${t(`rollout.${name}`)}`, "number"]);
  heads.push([t("rollout.disagreement"), "number"]);
  const rows = history.map((step) => {
    const [old, fresh] = step.figures;
    const cells = [old, fresh].flatMap((one) => [number(one.requests), percent(rate(one), 2), milliseconds(one.p99_ms)]);
    const differing = step.disagreement === null ? NONE : percent(step.disagreement, 3);
    return h(
      "tr",
      {},
      h("th", { scope: "row", class: "number" }, `${number(step.percent, 2)} %`),
      h("td", { class: "nowrap" }, clock(new Date(step.began_at_ms))),
      [...cells, differing].map((words) => h("td", { class: "number" }, words)),
    );
  });
  return table(t("rollout.steps"), heads, h("tbody", {}, rows));
}

function rate({ requests, errors }) {
  return requests ? errors / requests : null;
}

/** Both versions by time slot, from the beginning of the rollout to its end, as far as the last hour goes. */
function drawHour(charts, model, rollout, hour) {
  const series = hour && seriesOf(model, rollout, hour);
  for (const [name, one] of Object.entries(charts)) {
    one.node.hidden = !series?.times.length;
    if (one.node.hidden) continue;
    const pair = [rollout.from_version, rollout.to_version].map((version) => ({
      name: version,
      values: series.versions[version][name],
    }));
    one.draw({ times: series.times, series: pair, about: aboutPair(pair, CHARTS[name]) });
  }
}

/** `{times, versions: {VERSION: {share, errors, p99}}}`; null: a slot without requests. */
export function seriesOf(model, rollout, { slots, slot_s: length, models }) {
  const began = rollout.history[0]?.began_at_ms ?? rollout.step_began_at_ms;
  const until = rollout.ended_at_ms ?? Infinity;
  const times = slots.map((slot) => new Date(slot));
  const places = times.flatMap((at, place) =>
    at.getTime() + 1000 * length > began && at.getTime() <= until ? [place] : [],
  );
  const pair = [rollout.from_version, rollout.to_version];
  const of = (version, name, place) => models[`${model}@${version}`]?.[name][place] ?? (name === "p99_ms" ? null : 0);
  const answered = (version, place) => of(version, "requests", place) + of(version, "errors", place);
  const total = (place) => pair.reduce((sum, version) => sum + answered(version, place), 0);
  const share = (part, whole) => (whole ? part / whole : null);
  const versions = pair.map((version) => [
    version,
    {
      share: places.map((place) => share(answered(version, place), total(place))),
      errors: places.map((place) => share(of(version, "errors", place), answered(version, place))),
      p99: places.map((place) => of(version, "p99_ms", place)),
    },
  ]);
  return { times: places.map((place) => times[place]), versions: Object.fromEntries(versions) };
}

function aboutPair(pair, show) {
  const last = (values) => values.findLast((value) => value !== null) ?? null;
  return pair.map(({ name, values }) => `${name}: ${last(values) === null ? NONE : show(last(values))}`).join(", ");
}

function drawDisagreement(one, history) {
  const shown = history.filter((step) => step.disagreement !== null);
  one.node.hidden = !shown.length;
  if (!shown.length) return;
  const name = t("rollout.disagreement");
  const values = shown.map((step) => step.disagreement);
  const series = [{ name, values }];
  const times = shown.map((step) => new Date(step.began_at_ms));
  one.draw({ times, series, about: aboutPair(series, (value) => percent(value, 3)) });
}
