// The actions on a job: pause, resume, cancel, another priority, retry, delete.

import { confirmed } from "./confirm.js";
import { h } from "./dom.js";
import { feeds } from "./feeds.js";
import { patch, post, remove as erase } from "./http.js";
import { ENDED, jobName } from "./jobtexts.js";
import { button as buttonOf, outcome, replaceButtons } from "./operations.js";
import { retryForm } from "./retryform.js";
import { may } from "./session.js";
import { t } from "./words.js";

/** Words for the page of a job that this page began, by id. */
const begun = new Map();

export function jobActions({ id, now, changed, open, removed }) {
  const done = outcome();
  if (begun.has(id)) done.say(begun.get(id));
  begun.delete(id);
  const buttons = h("div", { class: "actions", tabindex: "-1" });
  const priority = h("input", { id: "priority", type: "number", min: 0, max: 9, step: 1, required: true });
  const set = h(
    "form",
    {
      class: "actions",
      onsubmit: (event) => (
        event.preventDefault(),
        run(() => patch(`/jobs/${id}`, { priority: Number(priority.value) }))
      ),
    },
    h("label", { for: "priority" }, t("job.priority")),
    priority,
    h("button", { type: "submit" }, t("job.priority.set")),
  );
  const retry = retryForm();
  const run = (step) =>
    done.run(async () => {
      const job = await step();
      if (job) changed(job);
      feeds.active.ask();
    });
  const told = (verb) => () => run(() => post(`/jobs/${id}/${verb}`));
  const cancel = async () =>
    (await confirmed(t("job.cancel.sure"), t("job.cancel"))) && run(() => post(`/jobs/${id}/cancel`));
  const remove = async () =>
    (await confirmed(t("job.delete.sure"), t("job.delete"))) &&
    run(async () => (await erase(`/jobs/${id}`), removed()));
  const again = (rows) => () =>
    retry.node.reportValidity() &&
    run(async () => {
      const job = await post(`/jobs/${id}/retry`, { rows, ...retry.chosen() });
      begun.set(job.id, t(`job.retry.${rows}.done`, { name: jobName(now()), version: `${job.model} ${job.version}` }));
      open(job.id);
    });
  const button = (key, action, kind) => buttonOf(t(key), action, { kind });
  const offered = (job) => {
    const { state } = job;
    if (!may("submit")) return [];
    if (ENDED.has(state))
      return [
        incomplete(job) ? button("job.retry.failed", again("failed"), "primary") : null,
        button("job.retry.all", again("all")),
        button("job.delete", remove, "danger"),
      ].filter(Boolean);
    if (state === "canceling") return [];
    const pause =
      state === "paused"
        ? button("job.resume", told("resume"), "primary")
        : button("job.pause", told("pause"));
    return [pause, button("job.cancel", cancel, "danger")];
  };
  let shown = null;
  return {
    node: h("div", { class: "stack" }, buttons, set, retry.node, done.node),
    draw(job) {
      const kind = ENDED.has(job.state)
        ? "ended"
        : job.state === "paused" || job.state === "canceling"
          ? job.state
          : "going";
      const offer = kind === "ended" && incomplete(job) ? "incomplete" : kind;
      if (offer !== shown) replaceButtons(buttons, offered(job));
      shown = offer;
      retry.draw(job, ENDED.has(job.state) && may("submit"));
      set.hidden = ENDED.has(job.state) || !may("submit");
      if (document.activeElement !== priority && priority.dataset.of !== String(now()?.priority))
        priority.value = job.priority;
      priority.dataset.of = String(job.priority);
    },
  };
}

/** Whether rows of an ended job have no result. */
function incomplete(job) {
  return job?.rows_total !== null && job?.rows_succeeded < job?.rows_total;
}
