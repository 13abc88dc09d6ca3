// What is said of a job, the same in every view.

import { clock, duration, NONE, number, shortId } from "./format.js";
import { isOld } from "./freshness.js";
import { known, t } from "./words.js";

export const ENDED = new Set(["succeeded", "failed", "canceled"]);

/** What people call it: their own reference, or the beginning of its id. */
export function jobName(job) {
  return job.reference || shortId(job.id);
}

/** The key or person that submitted it; nothing if no key was required. */
export function ownerText({ owner }) {
  return owner === "anonymous" ? "" : owner;
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
  if (isOld()) return t("jobs.unknown_end");
  if (job.eta_s === null || job.eta_s === undefined) return job.waiting ? NONE : t("jobs.unknown_end");
  const low = job.eta_low_s ?? job.eta_s;
  const high = job.eta_high_s ?? job.eta_s;
  const at = between(...[low, high].map((seconds) => clock(new Date(Date.now() + seconds * 1000))));
  return t("jobs.ends", { at, in: t("time.in", { for: between(duration(low), duration(high)) }) });
}

/** A range, or one text where both ends read alike. */
function between(low, high) {
  return low === high ? low : `${low}–${high}`;
}
