// The jobs that are under way, in the overview: how far, when they end, and why they wait.

import { h, keyed, put, text } from "./dom.js";
import { figure, number } from "./format.js";
import { isOld } from "./freshness.js";
import { ENDED, jobName, endText, waitText } from "./jobtexts.js";
import { jobBadge, meter } from "./marks.js";
import { failureText, panel } from "./panels.js";
import { t } from "./words.js";

export function jobLines() {
  const list = h("ul");
  const note = h("p", { class: "empty" }, t("app.loading"));
  const node = panel(t("active.title"), h("a", { href: "#/jobs" }, t("active.all")), note, list);
  const sync = keyed(list, line);
  return {
    node,
    draw(value, error) {
      const jobs = value?.jobs ?? [];
      note.hidden = jobs.length > 0;
      text(note, error && !value ? failureText(error) : value ? t("active.none") : t("app.loading"));
      sync(jobs, (job) => job.id);
    },
  };
}

function line(job) {
  const state = h("span");
  const link = h("a", { href: `#/jobs/${job.id}` }, jobName(job));
  const rows = h("span", { class: "number muted" });
  const bar = meter([0, 0], "");
  const why = h("span", { class: "small" });
  const end = h("span", { class: "small number" });
  const node = h(
    "li",
    { class: "job-line" },
    h("span", { class: "what" }, state, link),
    rows,
    bar.node,
    why,
    end,
  );
  return {
    node,
    update(now) {
      drawState(state, now);
      drawProgress(bar, now);
      text(rows, progressText(now));
      text(
        why,
        waitText(now) ||
          [`${now.model} ${now.version}`, speedText(now)].filter(Boolean).join(" · "),
      );
      why.classList.toggle("why", Boolean(now.waiting));
      why.classList.toggle("muted", !now.waiting);
      text(end, endText(now));
    },
  };
}

function speedText(job) {
  return job.rows_per_s && !isOld() ? t("jobs.speed", { rate: figure(job.rows_per_s) }) : "";
}

/** Draw a job's state. A succeeded job with failed rows has its own text. */
export function drawState(node, { state, rows_failed: failed }) {
  const shown = `${state} ${failed > 0}`;
  if (node.dataset.state !== shown) put(node, jobBadge(state, failed));
  node.dataset.state = shown;
}

/** Draw a job's bar: rows that succeeded, then rows that failed. */
export function drawProgress(bar, job) {
  const total = job.rows_total || 0;
  const shares = total ? [job.rows_succeeded / total, job.rows_failed / total] : [0, 0];
  const still = ["paused", "canceled", "failed"].includes(job.state);
  bar.node.classList.add("of-job");
  bar.draw(shares, progressText(job), still ? "still" : "");
}

export function progressText(job) {
  const done = number(job.rows_succeeded + job.rows_failed);
  if (job.rows_total === null) return t(ENDED.has(job.state) ? "job.rows.ended" : "job.rows.open", { done });
  return t("job.rows", { done, total: number(job.rows_total) });
}
