// The verdict on the service. The gateway decides (`GET /status`); an old answer does not count.

import { OLD_S } from "./freshness.js";
import { administers } from "./session.js";

const LEVELS = { healthy: "ok", warning: "warn", trouble: "bad" };

/** `{level, conditions}`. `age`: seconds since the answer; `visible`: seconds for which the page is visible. */
export function verdict({ status, age, visible, refused }) {
  if (refused) return { level: "unknown", conditions: [] };
  if (age === null || age > OLD_S) {
    return { level: visible > OLD_S ? "lost" : "unknown", conditions: [] };
  }
  return { level: LEVELS[status.status] ?? "bad", conditions: status.conditions };
}

/** The page that shows the subject of a condition. */
export function placeOf({ code, subject }) {
  if (/^(worker|supervisor|no_worker|clock)/.test(code)) return "#/workers";
  if (/^(model|default_model|rollout)/.test(code)) return `#/models/${subject.split("@")[0]}`;
  if (code === "dead_letters") return administers() ? "#/admin" : null;
  if (code === "jobs_stand_still") return "#/jobs?state=active";
  if (code === "storage_full" || code === "storage_nearly_full") return "#/jobs?state=succeeded";
  if (code === "jobs_fail") return "#/jobs?state=failed";
  return /^(jobs|chunks|rows|storage|webhooks)/.test(code) ? "#/jobs" : null;
}
