// The workers in the overview: who does what, and how busy each is.

import { h, keyed, put, text } from "./dom.js";
import { currentWork, workerState } from "./fleet.js";
import { isOld } from "./freshness.js";
import { duration, percent, shortId, since } from "./format.js";
import { meter, workerBadge } from "./marks.js";
import { failureText, panel } from "./panels.js";
import { t } from "./words.js";

export function workerLines() {
  const list = h("ul");
  const silent = h("p", { class: "small why" });
  const note = h("p", { class: "empty" }, t("app.loading"));
  const node = panel(t("workers.title"), h("a", { href: "#/workers" }, t("workers.all")), note, silent, list);
  const sync = keyed(list, line);
  return {
    node,
    draw(value, error) {
      const workers = value?.workers ?? [];
      note.hidden = workers.length > 0;
      text(note, error && !value ? failureText(error) : value ? t("workers.none") : t("app.loading"));
      text(silent, silentText(value));
      sync(workers, (worker) => worker.id);
    },
  };
}

function line(worker) {
  const state = h("span");
  const work = h("span", { class: "small muted" });
  const load = h("span", { class: "small number" });
  const bar = meter([0, 0], "");
  const name = h("b", {}, worker.name);
  const node = h(
    "li",
    { class: "worker-line" },
    h("span", { class: "what" }, state, " ", name, " ", h("span", { class: "muted small" }, worker.device)),
    load,
    bar.node,
    work,
  );
  return {
    node,
    update(now) {
      const shown = workerState(now, isOld());
      if (state.dataset.state !== shown) put(state, workerBadge(shown));
      state.dataset.state = shown;
      drawLoad(bar, load, now);
      text(work, workText(now.current));
    },
  };
}

/** Draw a worker's load: the online lane's share of its time, then that of jobs. */
export function drawLoad(bar, words, { online_share: online, offline_share: jobs }) {
  const all = percent(Math.min(1, online + jobs));
  text(words, all);
  bar.draw([online, jobs], t("workers.load.about", { all, online: percent(online), jobs: percent(jobs) }));
}

/** Workers that fell silent without an order; empty: there are none. */
export function silentText(value) {
  const words = (value?.silent ?? []).map(({ name, last_seen_at: at }) =>
    t("workers.silent", { name, for: duration(Math.max(0, since(at))) }),
  );
  return words.join(" · ");
}

export function workText(current) {
  const work = currentWork(current);
  if (work.kind === "online") return t("workers.online", { model: work.model });
  if (work.kind === "chunk") return t("workers.chunk", { job: shortId(work.job), chunk: work.chunk });
  return t(work.kind === "other" ? "workers.other" : "workers.idle");
}
