// One job as a row of the list.

import { h, text } from "./dom.js";
import { clock, number } from "./format.js";
import { drawProgress, drawState, progressText } from "./joblines.js";
import { endText, jobName, ownerText, waitText } from "./jobtexts.js";
import { jobBadge, meter } from "./marks.js";
import { isNamed, seesAllJobs } from "./session.js";
import { reasonText } from "./words.js";

/** Whether the list has a column of owners. */
export function showsOwners() {
  return isNamed() && seesAllJobs();
}

export function jobRow(job, place) {
  const link = h("a", {}, jobName(job));
  const why = h("span", { class: "small muted" });
  const state = h("td");
  const bar = meter([0, 0], "");
  const rows = h("span", { class: "small muted" });
  const failed = h("td", { class: "number of-failed" });
  const ends = h("td", { class: "small of-ends" });
  const cells = [
    state,
    h("td", { class: "small of-model" }, `${job.model} ${job.version}`),
    showsOwners() ? h("td", { class: "small of-owner" }, ownerText(job)) : null,
    h("td", {}, h("span", { class: "two-lines" }, bar.node, rows)),
    failed,
    ends,
    h("td", { class: "small of-created" }, clock(job.created_at)),
  ];
  const node = h(
    "tr",
    { class: "job" },
    h("th", { scope: "row" }, h("span", { class: "two-lines" }, link, why)),
    cells,
  );
  return {
    node,
    update(now) {
      const { query, rest } = place();
      const words = query.toString();
      link.setAttribute("href", `#/jobs/${now.id}${words ? `?${words}` : ""}`);
      if (rest === now.id) node.setAttribute("aria-current", "true");
      else node.removeAttribute("aria-current");
      drawState(state, now);
      text(why, waitText(now) || (now.error && reasonText(now.error.code, now.error.detail)) || now.tags.join(", "));
      drawProgress(bar, now);
      text(rows, progressText(now));
      text(failed, number(now.rows_failed));
      failed.classList.toggle("zero", !now.rows_failed);
      text(ends, endText(now));
    },
  };
}
