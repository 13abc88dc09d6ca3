// The rows of a job that failed, and why: the first of them.

import { h, put, text } from "./dom.js";
import { number } from "./format.js";
import { get } from "./http.js";
import { table } from "./panels.js";
import { rowReason, t } from "./words.js";

const SHOWN = 20;

export function errorRows({ id }) {
  const title = h("h3", {}, t("job.errors"));
  const note = h("p", { class: "small muted" }, t("job.errors.none"));
  const rows = h("div");
  let known = -1;
  const load = async (failed) => {
    known = failed;
    const { errors } = await get(`/jobs/${id}/errors?limit=${SHOWN}`);
    const heads = [[t("job.errors.row"), "number"], [t("job.errors.why")]];
    const body = errors.map((one) =>
      h(
        "tr",
        {},
        h("th", { scope: "row", class: "number" }, one.id ?? number(one.row)),
        h("td", {}, rowReason(one.error)),
      ),
    );
    put(rows, h("div", { class: "error-rows" }, table(t("job.errors"), heads, h("tbody", {}, body))));
    text(note, t("job.errors.first", { n: number(errors.length), total: number(failed) }));
  };
  return {
    node: h("div", { class: "stack" }, title, note, rows),
    draw(job) {
      if (job.rows_failed && (known < SHOWN || known < 0) && job.rows_failed !== known)
        load(job.rows_failed).catch(() => (known = -1));
      else if (job.rows_failed)
        text(
          note,
          t("job.errors.first", { n: number(Math.min(SHOWN, known)), total: number(job.rows_failed) }),
        );
    },
  };
}
