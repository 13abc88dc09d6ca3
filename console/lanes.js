// Both lanes of each model version: what waits, since when, who takes it, and when it is done.

import { h, keyed, put, text } from "./dom.js";
import { feeds } from "./feeds.js";
import { laneState, modelKey } from "./fleet.js";
import { duration, figure, NONE, number } from "./format.js";
import { laneBadge } from "./marks.js";
import { failureText, panel, table } from "./panels.js";
import { t } from "./words.js";

export function lanesPanel() {
  const body = h("tbody");
  const note = h("p", { class: "empty" }, t("app.loading"));
  const columns = [
    [t("lanes.model")],
    [t("lanes.lane")],
    [t("lanes.state")],
    [t("lanes.rows"), "number"],
    [t("lanes.requests") + " · " + t("lanes.jobs"), "number"],
    [t("lanes.oldest"), "number"],
    [t("lanes.drained"), "number"],
    [t("lanes.rate"), "number"],
    [t("lanes.workers"), "number"],
  ];
  const shown = table(t("lanes.title"), columns, body);
  const sync = keyed(body, row);
  const node = panel(t("lanes.title"), null, note, shown);
  return {
    node,
    draw(value, error) {
      const lanes = value?.lanes ?? [];
      note.hidden = lanes.length > 0;
      shown.hidden = !lanes.length;
      text(note, error && !value ? failureText(error) : value ? t("lanes.none") : t("app.loading"));
      const rows = lanes.flatMap((lane) => ["online", "offline"].map((kind) => ({ lane, kind })));
      sync(rows, ({ lane, kind }) => `${modelKey(lane)} ${kind}`);
    },
  };
}

function row({ lane, kind }) {
  const cells = Object.fromEntries(
    ["rows", "count", "oldest", "drained", "rate", "workers"].map((name) => [
      name,
      h("td", { class: "number" }),
    ]),
  );
  const state = h("td");
  const first = kind === "online";
  const name = first
    ? h(
        "th",
        { scope: "rowgroup", rowspan: 2 },
        lane.model,
        " ",
        h("span", { class: "version" }, lane.version),
      )
    : null;
  const node = h(
    "tr",
    { class: first ? "first-of-model" : "second-of-model" },
    name,
    h("th", { scope: "row" }, t(`lanes.${kind}`)),
    state,
    Object.values(cells),
  );
  return { node, update: (item) => drawRow(state, cells, item) };
}

function drawRow(state, cells, { lane, kind }) {
  const own = laneState(lane, kind, feeds.workers.value?.workers);
  if (state.dataset.state !== own.state) put(state, laneBadge(own.state));
  state.dataset.state = own.state;
  const quiet = own.state === "idle";
  write(cells.rows, quiet && !own.rows ? "0" : number(own.rows), quiet);
  write(cells.count, number(own.count), quiet);
  write(cells.oldest, quiet ? NONE : duration(own.oldest), quiet);
  write(cells.drained, own.drained === null ? NONE : duration(own.drained), quiet);
  write(cells.rate, own.rate ? figure(own.rate) : NONE, !own.rate);
  write(cells.workers, number(lane.holders), !lane.holders);
}

function write(cell, words, quiet) {
  text(cell, words);
  cell.classList.toggle("zero", quiet);
}
