// One action on all jobs of the list's filter.

import { confirmed } from "./confirm.js";
import { h, put, text } from "./dom.js";
import { filterOf } from "./filters.js";
import { number } from "./format.js";
import { post } from "./http.js";
import { reasonOf } from "./panels.js";
import { may } from "./session.js";
import { t } from "./words.js";

const ACTIONS = ["cancel", "pause", "resume", "retry", "delete"];

/** A form with the actions. `wanted()`: the request of the list; `changed()` is called after an action. */
export function manyJobs(wanted, changed) {
  if (!may("submit")) return h("div", { hidden: true });
  const choice = h(
    "select",
    { id: "many-action" },
    h("option", { value: "" }, t("jobs.many.choose")),
    ACTIONS.map((action) => h("option", { value: action }, t(`jobs.many.${action}`))),
  );
  const outcome = h("span", { class: "small muted", role: "status" });
  const apply = async () => {
    if (!choice.value) return;
    const filter = filterOf(wanted());
    if (!Object.keys(filter).length) return text(outcome, t("jobs.many.filter"));
    try {
      text(outcome, (await act(choice.value, filter)) ?? "");
      changed();
    } catch (error) {
      text(outcome, reasonOf(error));
    }
  };
  const form = h(
    "form",
    { class: "filters", "aria-label": t("jobs.many"), onsubmit: (event) => (event.preventDefault(), apply()) },
    h("div", { class: "field" }, h("label", { for: "many-action" }, t("jobs.many")), choice),
    h("button", { type: "submit" }, t("jobs.many.apply")),
    outcome,
  );
  return put(h("div"), form);
}

/** Confirm, then act. Resolves to the outcome as text, or null if it was not confirmed. */
async function act(action, filter) {
  const { jobs, more } = await post("/jobs/actions", { action, filter, dry_run: true });
  if (!jobs.length) return t("jobs.many.none");
  const name = t(`jobs.many.${action}`);
  const question = t(more ? "jobs.many.sure.more" : "jobs.many.sure", { action: name, n: number(jobs.length) });
  const final = ["cancel", "delete"].includes(action) ? ` ${t("jobs.many.final")}` : "";
  if (!(await confirmed(question + final, name))) return null;
  const done = await post("/jobs/actions", { action, filter });
  const refused = done.refused ? ` ${t("jobs.many.refused", { n: number(done.refused) })}` : "";
  return t("jobs.many.done", { n: number(done.changed) }) + refused;
}
