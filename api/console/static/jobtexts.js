// What is said of a job, the same in every view.

import { clock, duration, NONE, number, shortId } from "./format.js";
import { known, t } from "./words.js";

export const ENDED = new Set(["succeeded", "failed", "canceled"]);

/** What people call it: their own reference, or the beginning of its id. */
export function jobName(job) {
  return job.reference || shortId(job.id);
}

/** Why it waits, or nothing where it does not. */
export function waitText(job) {
  return job.waiting ? t("jobs.wait", { why: waitReason(job) }) : "";
}

export function waitReason({ waiting }) {
  const key = `waiting.${waiting.reason}`;
  return known(key) ? t(key, { rows: number(waiting.rows_ahead) }) : waiting.detail;
}

/** When it ends, or ended. */
export function endText(job) {
  if (ENDED.has(job.state)) return t("jobs.ended", { at: clock(job.finished_at) });
  if (job.eta_s === null || job.eta_s === undefined) return job.waiting ? NONE : t("jobs.unknown_end");
  const at = new Date(Date.now() + job.eta_s * 1000);
  return t("jobs.ends", { at: clock(at), in: t("time.in", { for: duration(job.eta_s) }) });
}
