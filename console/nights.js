// Last night's jobs: whether they ran, and took longer than usual, by the hourly counts of 30 days.

import { chart } from "./chart.js";
import { h, put, text } from "./dom.js";
import { duration, NONE, number } from "./format.js";
import { badge } from "./marks.js";
import { failureText, panel, table } from "./panels.js";
import { t } from "./words.js";

const [DUSK, DAWN] = [18, 6];
const HOUR_MS = 3_600_000;
const LONGER = 1.5;
const FEW_NIGHTS = 3;

/** The morning, in this browser's time, after the night that holds a moment; null: it is day. */
function morningOf(moment) {
  const hour = moment.getHours();
  if (hour >= DAWN && hour < DUSK) return null;
  return new Date(moment.getTime() + (24 - DUSK) * HOUR_MS).toDateString();
}

/** Jobs of a model by morning: `{done, failed, seconds}`; `seconds`: the mean of medians, weighted by jobs. */
function byMorning(hours, series) {
  const nights = new Map();
  hours.forEach((hour, place) => {
    const morning = morningOf(new Date(hour));
    if (!morning) return;
    const night = nights.get(morning) ?? { done: 0, failed: 0, sum: 0 };
    night.done += series.jobs_succeeded[place];
    night.failed += series.jobs_failed[place];
    night.sum += (series.median_s[place] ?? 0) * series.jobs_succeeded[place];
    nights.set(morning, night);
  });
  return nights;
}

/** Last night by model, beside the earlier nights: `{model, done, failed, seconds, usual, state}`. */
export function lastNight({ hours, models }, now) {
  const morning = new Date(now.getTime() - DAWN * HOUR_MS).toDateString();
  return Object.entries(models).flatMap(([model, series]) => {
    const nights = byMorning(hours, series);
    const { done, failed, sum } = nights.get(morning) ?? { done: 0, failed: 0, sum: 0 };
    const others = [...nights].filter(([key, night]) => key !== morning && night.done).map(([, night]) => night);
    if (!done && !failed && others.length < FEW_NIGHTS) return [];
    const jobs = others.reduce((all, night) => all + night.done, 0);
    const usual = others.length < FEW_NIGHTS ? null : others.reduce((all, night) => all + night.sum, 0) / jobs;
    const seconds = done ? sum / done : null;
    return [{ model, done, failed, seconds, usual, state: stateOf(done, failed, seconds, usual) }];
  });
}

function stateOf(done, failed, seconds, usual) {
  if (!done && !failed) return "none";
  if (failed) return "failed";
  return usual !== null && seconds > LONGER * usual ? "longer" : "usual";
}

const MARKS = {
  none: ["warn", "triangle"],
  failed: ["bad", "cross"],
  longer: ["warn", "triangle"],
  usual: ["ok", "check"],
};

export function nightsPanel() {
  const body = h("tbody");
  const columns = [
    [t("nights.model")],
    [t("nights.state")],
    [t("nights.done"), "number"],
    [t("nights.failed"), "number"],
    [t("nights.took"), "number"],
    [t("nights.usual"), "number"],
  ];
  const shown = table(t("nights.title"), columns, body);
  const none = h("p", { class: "empty" }, t("app.loading"));
  shown.hidden = true;
  const jobs = chart(t("nights.chart"), (value) => number(value));
  const node = h("div", { class: "two" }, panel(t("nights.title"), null, none, shown), jobs.node);
  return {
    node,
    draw(value, error) {
      text(none, value ? t("nights.none") : error ? failureText(error) : t("app.loading"));
      if (!value) return;
      const rows = lastNight(value, new Date());
      none.hidden = rows.length > 0;
      shown.hidden = !rows.length;
      put(body, ...rows.map(row));
      drawJobs(jobs, value);
    },
  };
}

function row({ model, done, failed, seconds, usual, state }) {
  const numbers = [number(done), number(failed), seconds === null ? NONE : duration(seconds)];
  numbers.push(usual === null ? NONE : duration(usual));
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, model),
    h("td", {}, badge(MARKS[state], t(`nights.state.${state}`))),
    numbers.map((words) => h("td", { class: "number" }, words)),
  );
}

function drawJobs(jobs, { hours, total }) {
  const sum = (values) => number(values.reduce((a, b) => a + b, 0));
  jobs.draw({
    times: hours.map((hour) => new Date(hour)),
    series: [
      { name: t("nights.done"), values: total.jobs_succeeded },
      { name: t("nights.failed"), values: total.jobs_failed },
    ],
    about: t("nights.chart.about", { done: sum(total.jobs_succeeded), failed: sum(total.jobs_failed) }),
  });
}
