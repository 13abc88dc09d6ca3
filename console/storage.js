// The payload store: its use by owner, and objects that belong to no job.

import { confirmed } from "./confirm.js";
import { h } from "./dom.js";
import { bytes, duration, number } from "./format.js";
import { post, send } from "./http.js";
import { button, loadedPanel } from "./operations.js";
import { table } from "./panels.js";
import { may } from "./session.js";
import { t } from "./words.js";

const SHOWN = 50;

export function storagePanel(done) {
  const clean = async () => {
    if (!(await confirmed(t("storage.clean.sure"), t("storage.clean")))) return;
    let removed = { removed: [], bytes: 0 };
    const cleaned = await done.run(async () => (removed = await post("/storage/clean")));
    if (!cleaned) return;
    const words = t("storage.cleaned", { n: number(removed.removed.length), size: bytes(removed.bytes) });
    await done.run(panel.reload, words);
  };
  const panel = loadedPanel(
    t("storage.title"),
    async () => (await send("/storage")).json(), // reads every object: it may take longer than other answers
    (storage) => [figures(storage), owners(storage.owners), orphans(storage.orphans, clean)],
  );
  return panel.node;
}

function figures(storage) {
  const facts = [
    ["storage.used", storage.used_bytes],
    ["storage.free", storage.free_bytes],
    ["storage.limit", storage.limit_bytes],
  ];
  const rows = facts.flatMap(([key, value]) => [h("dt", {}, t(key)), h("dd", {}, bytes(value))]);
  return h("div", { class: "inset" }, h("dl", { class: "facts" }, rows));
}

function owners(found) {
  if (!found.length) return null;
  const heads = [[t("keys.owner")], [t("nav.jobs"), "number"], [t("storage.used"), "number"]];
  const rows = found.slice(0, SHOWN).map(({ owner, jobs, bytes: size }) => row(owner, number(jobs), bytes(size)));
  return table(t("storage.owners"), heads, h("tbody", {}, rows));
}

function orphans(found, clean) {
  if (!found.length) return h("p", { class: "empty" }, t("storage.orphans.none"));
  const heads = [[t("storage.orphans")], [t("storage.age"), "number"], [t("storage.used"), "number"]];
  const rows = found.slice(0, SHOWN).map((one) => row(one.job_id, duration(one.age_s), bytes(one.bytes)));
  const order = may("operate") ? h("div", { class: "inset actions" }, button(t("storage.clean"), clean)) : null;
  return h("div", {}, table(t("storage.orphans"), heads, h("tbody", {}, rows)), order);
}

function row(name, ...numbers) {
  const cells = numbers.map((words) => h("td", { class: "number" }, words));
  return h("tr", {}, h("th", { scope: "row" }, name), cells);
}
