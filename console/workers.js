// All live workers: device, models, load, current work, memory, last sign of life; and orders to them.

import { confirmed } from "./confirm.js";
import { h, keyed, put, text } from "./dom.js";
import { feeds } from "./feeds.js";
import { currentWork, modelKey, workerState } from "./fleet.js";
import { isOld } from "./freshness.js";
import { bytes, duration, figure, NONE, percent, since } from "./format.js";
import { post } from "./http.js";
import { heldBadge, meter, workerBadge } from "./marks.js";
import { button, outcome, replaceButtons } from "./operations.js";
import { failureText, table } from "./panels.js";
import { administers, may } from "./session.js";
import { t } from "./words.js";
import { workerInspector } from "./workerinspect.js";
import { drawLoad, silentText, workText } from "./workerlines.js";

const NUMBERS = ["cpu", "memory", "up", "seen"];

export function workersView() {
  const body = h("tbody");
  const note = h("p", { class: "empty" }, t("app.loading"));
  const silent = h("p", { class: "small why" });
  const restarts = h("p", { class: "small muted restarts" });
  const columns = ["name", "state", "device", "models", "load", "current", ...NUMBERS].map((name) => [
    t(`workers.${name}`),
    NUMBERS.includes(name) ? "number" : undefined,
  ]);
  if (administers()) columns.push([t("workers.orders")]);
  const orders = outcome();
  const inspector = workerInspector();
  const shown = table(t("workers.title"), columns, body, "cards");
  const sync = keyed(body, (worker) => row(worker, orders, inspector));
  const node = h(
    "div",
    { class: "stack" },
    h("h1", {}, t("workers.title")),
    orders.node,
    h("div", { class: "panel" }, note, silent, restarts, shown),
    inspector.node,
  );
  const draw = (value, error) => {
    const workers = value?.workers ?? [];
    note.hidden = workers.length > 0;
    shown.hidden = !workers.length;
    text(note, error && !value ? failureText(error) : value ? t("workers.none") : t("app.loading"));
    text(silent, silentText(value));
    text(restarts, [...new Set(workers.map((worker) => supervisorText(worker.supervisor)))].filter(Boolean).join(" · "));
    sync(workers, (worker) => worker.id);
  };
  return { node, close: feeds.workers.watch(draw) };
}

function row(worker, orders, inspector) {
  const cells = Object.fromEntries(
    ["state", "models", ...NUMBERS].map((name) => [
      name,
      h("td", {
        class: NUMBERS.includes(name) ? "number" : `of-${name}`,
        data: { label: t(`workers.${name}`) },
      }),
    ]),
  );
  const gpu = h("div", { class: "small muted" });
  const bar = meter([0, 0], "");
  const load = h("span", { class: "small" });
  const work = h("td", { class: "of-work", data: { label: t("workers.current") } });
  const about = t("workers.host", { host: worker.host, pid: worker.pid });
  const name = h("th", { scope: "row" }, worker.name, h("div", { class: "small muted" }, about));
  const ordered = administers() ? orderCell(orders, inspector) : null;
  const node = h(
    "tr",
    {},
    name,
    cells.state,
    h("td", { class: "nowrap", data: { label: t("workers.device") } }, worker.device, gpu),
    cells.models,
    h("td", { class: "load", data: { label: t("workers.load") } }, bar.node, load),
    work,
    cells.cpu,
    cells.memory,
    cells.up,
    cells.seen,
    ordered?.node,
  );
  return {
    node,
    update(now) {
      const state = workerState(now, isOld());
      changed(cells.state, state, () => workerBadge(state));
      changed(cells.models, JSON.stringify(now.models), () =>
        h("div", { class: "held" }, now.models.map(held)),
      );
      drawLoad(bar, load, now);
      changed(work, now.current, () => workLink(now.current));
      ordered?.update(now);
      text(gpu, gpuText(now.gpu));
      text(cells.cpu, now.cpu_percent === null ? NONE : percent(now.cpu_percent / 100));
      text(cells.memory, bytes(now.rss_bytes));
      text(cells.up, duration(since(now.started_at)));
      text(cells.seen, t("time.ago", { for: duration(Math.max(0, since(now.last_seen_at))) }));
    },
  };
}

/** The use of a GPU; empty without a GPU. */
function gpuText(gpu) {
  if (!gpu) return "";
  const memory = t("workers.gpu.memory", { used: bytes(gpu.used_bytes), total: bytes(gpu.total_bytes) });
  return gpu.utilization_percent === null ? memory : `${percent(gpu.utilization_percent / 100)} · ${memory}`;
}

/** The orders that a worker can be given now, and its inspection. */
function orderCell(orders, inspector) {
  const box = h("div", { class: "actions", tabindex: "-1" });
  let shown = null;
  const offer = (worker, verb, kind) =>
    button(t(`workers.${verb}`), () => order(orders, worker, verb), { kind, about: worker.name });
  return {
    node: h("td", { class: "nowrap of-orders" }, box),
    update(worker) {
      const out = worker.drained || worker.state === "draining";
      if (shown === out) return;
      shown = out;
      const first = out ? offer(worker, "undrain", "primary") : offer(worker, "drain");
      const changes = worker.supervisor ? [first, offer(worker, "restart")] : [first];
      const inspect = button(t("workers.inspect"), () => inspector.open(worker), { about: worker.name });
      replaceButtons(box, may("operate") ? [...changes, inspect] : [inspect]);
    },
  };
}

async function order(orders, { id, name }, verb) {
  const last = verb === "drain" && !othersServe(id) ? ` ${t("workers.drain.last")}` : "";
  const question = verb === "undrain" ? "" : t(`workers.${verb}.sure`, { name }) + last;
  const sure = !question || (await confirmed(question, t(`workers.${verb}`)));
  if (!sure) return;
  const path = id.split("/").map(encodeURIComponent).join("/");
  await orders.run(() => post(`/workers/${path}/${verb}`), t(`workers.${verb}.done`, { name }));
  feeds.workers.ask();
}

/** Whether a worker serves beside this one. */
function othersServe(id) {
  return (feeds.workers.value?.workers ?? []).some((other) => other.id !== id && other.state === "serving");
}

/** How often a supervisor has started workers again, and why last; empty without a supervisor or a restart. */
function supervisorText(supervisor) {
  if (!supervisor?.restarts) return "";
  const { name, restarts, last_exit: last } = supervisor;
  const words = t("workers.restarts", { name, times: restarts });
  if (!last) return words;
  const ago = t("time.ago", { for: duration(Math.max(0, since(last.at))) });
  return `${words} ${t("workers.exit", { worker: last.worker, reason: last.reason, ago })}`;
}

function changed(cell, value, make) {
  if (cell.dataset.value === value) return;
  cell.dataset.value = value;
  put(cell, make());
}

function held(model) {
  const node = heldBadge(modelKey(model), model);
  node.title ||= heldNote(model);
  return node;
}

function heldNote(model) {
  const rates = t("held.rates", {
    online: figure(model.online_rows_per_s),
    jobs: figure(model.offline_rows_per_s),
  });
  return model.own_copy ? `${rates}. ${t("models.memory.own", { reason: model.own_copy })}` : rates;
}

function workLink(current) {
  const work = currentWork(current);
  return work.kind === "chunk"
    ? h("a", { href: `#/jobs/${work.job}` }, workText(current))
    : h("span", { class: work.kind === "idle" ? "muted" : null }, workText(current));
}
