// One version of one model, as its spec and its workers tell it.

import { deploymentPanel } from "./deployment.js";
import { h } from "./dom.js";
import { bytes, figure, milliseconds, number, NONE } from "./format.js";
import { badge } from "./marks.js";
import { panel, table } from "./panels.js";
import { tryIt } from "./tryit.js";
import { t } from "./words.js";

/** The panels of a version. `moved()`: another version is the default now; `deployment`: the panel, if it is drawn. */
export function modelDetail(model, moved, deployment = deploymentPanel(model, moved)) {
  return [about(model), deployment, tryIt(model), fields(model), holders(model), measured(model)];
}

function about(model) {
  const versions = model.versions.flatMap((version, place) => [
    place ? ", " : "",
    versionLink(model, version),
  ]);
  const facts = [
    ["models.versions", versions],
    ["models.framework", model.framework],
    ["models.device", model.device],
    ["models.batch", number(model.max_batch_rows)],
    ["models.request", number(model.max_rows_per_request)],
  ];
  const list = h(
    "dl",
    { class: "facts" },
    facts.map(([key, value]) => [h("dt", {}, t(key)), h("dd", {}, value)]).flat(),
  );
  return panel(
    `${model.name} ${model.version}`,
    null,
    h("div", { class: "body stack" }, h("p", {}, model.description), list),
  );
}

function versionLink(model, version) {
  const current = version === model.version;
  return current ? h("b", {}, version) : h("a", { href: `#/models/${model.name}@${version}` }, version);
}

function fields(model) {
  const heads = [[t("models.field")], [t("models.type")], [t("models.range")], [t("models.about")]];
  const rows = (specs, kind, about) =>
    specs.map((spec) =>
      h(
        "tr",
        {},
        h("th", { scope: "row", class: "mono" }, spec.name),
        h("td", { class: "nowrap" }, kind(spec)),
        h("td", {}, about(spec)),
        h("td", { class: "muted" }, spec.description),
      ),
    );
  const inputs = table(t("models.inputs"), heads, h("tbody", {}, rows(model.inputs, (spec) => spec.type, taken)));
  const outputs = table(
    t("models.outputs"),
    heads,
    h(
      "tbody",
      {},
      rows(model.outputs, (spec) => `${spec.view} · ${spec.type}`, shape),
    ),
  );
  return h(
    "div",
    { class: "stack" },
    panel(t("models.inputs"), null, inputs),
    panel(t("models.outputs"), null, outputs),
  );
}

/** The shape of an output, its answer of the model, and whether it may be missing. */
function shape(spec) {
  const answer = [spec.from, spec.method && `${spec.method}()`, spec.column !== null && `[${spec.column}]`];
  const parts = [spec.shape.join(" × "), answer.filter(Boolean).join(""), spec.nullable && t("models.nullable")];
  return parts.filter(Boolean).join(" · ");
}

/** What an input takes, in words. */
export function taken(spec) {
  const parts = [];
  if (spec.shape.length)
    parts.push(t("models.shape", { n: spec.shape.map((n) => (n < 0 ? `1…${number(spec.max_length)}` : n)).join(" × ") }));
  if (spec.image) parts.push(`${spec.image.width} × ${spec.image.height} × ${spec.image.channels}`);
  if (spec.minimum !== null || spec.maximum !== null)
    parts.push(`${figure(spec.minimum)} … ${figure(spec.maximum)}`);
  if (spec.allowed) parts.push(spec.allowed.join(", "));
  if (spec.type === "string" && !spec.allowed) parts.push(`≤ ${number(spec.max_length)}`);
  if (spec.nullable) parts.push(t("models.nullable"));
  const others = [spec.column, ...spec.aliases].filter(Boolean);
  if (others.length) parts.push(t("models.also", { names: others.join(", ") }));
  return parts.join(" · ");
}

function holders(model) {
  if (!model.workers.length)
    return panel(t("models.holders"), null, h("p", { class: "empty" }, t("models.holders.none")));
  const heads = [
    [t("workers.name")],
    [t("workers.device")],
    [t("models.runtime.calls")],
    [t("lanes.rate"), "number"],
    [t("models.memory"), "number"],
  ];
  const rows = model.workers.map((worker) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, worker.worker.split(":")[0]),
      h("td", {}, worker.device),
      h("td", {}, worker.reason || (worker.state === "on_demand" ? t("models.on_demand.first") : worker.runtime)),
      h("td", { class: "number" }, worker.rows_per_s ? figure(worker.rows_per_s) : NONE),
      h("td", { class: "number", title: memoryNote(worker) }, memory(worker)),
    ),
  );
  const held = table(t("models.holders"), heads, h("tbody", {}, rows));
  return panel(t("models.holders"), null, held, runtimes(model.workers[0].runtimes));
}

function memory(worker) {
  return worker.memory_bytes ? bytes(worker.memory_bytes) : NONE;
}

function memoryNote(worker) {
  if (!worker.memory_bytes) return null;
  const shared = worker.own_copy ? t("models.memory.own", { reason: worker.own_copy }) : t("models.memory.shared");
  return `${shared} ${t("models.memory.peak", { peak: bytes(worker.peak_bytes) })}`;
}

function runtimes(measured) {
  if (!measured.length) return null;
  const heads = [[t("models.runtime")], [t("models.runtime.equal")], [t("models.runtime.rate")]];
  const rows = measured.map((one) => {
    const equal = one.bit_equal
      ? badge(["ok", "check"], t("models.yes"))
      : one.max_difference <= one.tolerance
        ? badge(["ok", "check"], t("models.runtime.within", { n: one.tolerance }))
        : badge(["bad", "cross"], t("models.no"));
    const rates = Object.entries(one.rows_per_s)
      .map(([rows_, rate]) => `${number(rows_)}: ${figure(rate)}`)
      .join(" · ");
    const compared = one.compared_rows
      ? h(
          "span",
          { class: "muted small" },
          " ",
          t("models.runtime.compared", { n: number(one.compared_rows) }),
        )
      : null;
    return h(
      "tr",
      {},
      h("th", { scope: "row", class: "mono" }, one.name),
      h("td", {}, equal, compared),
      h("td", { class: "small" }, rates),
    );
  });
  return table(t("models.runtime"), heads, h("tbody", {}, rows));
}

function measured(model) {
  const { requests, stages_ms: stages } = model.measured;
  if (!requests)
    return panel(t("models.measured"), null, h("p", { class: "empty" }, t("models.measured.none")));
  const longest = Math.max(...Object.values(stages).map((stage) => stage.mean), 0.001);
  const bars = Object.entries(stages).map(([name, { mean }]) => {
    const bar = h("i");
    bar.style.setProperty("width", `${(100 * mean) / longest}%`);
    return h(
      "div",
      {},
      h("code", {}, name),
      h("span", { class: "meter", "aria-hidden": "true" }, bar),
      h("span", { class: "number" }, milliseconds(mean)),
    );
  });
  return panel(t("models.measured"), null, h("div", { class: "body bars" }, bars));
}
