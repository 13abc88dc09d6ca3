// Versions of all parts, and the settings of the gateway that serves this page.

import { h } from "./dom.js";
import { NONE } from "./format.js";
import { get } from "./http.js";
import { loadedPanel } from "./operations.js";
import { table } from "./panels.js";
import { t } from "./words.js";

export function versionsPanel() {
  return loadedPanel(t("versions.title"), () => get("/versions"), versions).node;
}

function versions({ gateway, queue, workers }) {
  const parts = [
    [t("versions.gateway"), gateway],
    ...workers.map((worker) => [worker.worker, worker]),
  ];
  const rows = parts.map(([name, part]) => row([name, part.takt || NONE, part.python, listed(part.packages)]));
  rows.push(row([`${t("versions.queue")}: ${queue.name}`, queue.version, NONE, NONE]));
  const heads = [[t("versions.part")], [t("versions.version")], [t("versions.python")], [t("versions.packages")]];
  return table(t("versions.title"), heads, h("tbody", {}, rows));
}

function listed(packages) {
  const pairs = Object.entries(packages).map(([name, version]) => `${name} ${version}`);
  return pairs.join(", ") || NONE;
}

export function settingsPanel() {
  return loadedPanel(t("settings.title"), () => get("/settings"), settings).node;
}

/** Settings that differ from their defaults; the others on demand. */
function settings({ settings: all }) {
  const changed = all.filter((one) => !one.is_default);
  const rest = all.filter((one) => one.is_default);
  const more = h(
    "details",
    { class: "small inset" },
    h("summary", {}, t("settings.defaults")),
    values(t("settings.defaults"), rest),
  );
  return [changed.length ? values(t("settings.changed"), changed) : null, more];
}

function values(caption, chosen) {
  const heads = [[t("settings.variable")], [t("settings.value")]];
  const rows = chosen.map(({ variable, value }) => row([variable, value === null || value === "" ? NONE : String(value)]));
  return table(caption, heads, h("tbody", {}, rows));
}

function row([name, ...cells]) {
  return h("tr", {}, h("th", { scope: "row" }, name), cells.map((words) => h("td", { class: "wrap" }, words)));
}
