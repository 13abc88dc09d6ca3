// What a job's owner may tell it: pause, go on, cancel, another priority, be gone.

import { confirmed } from "./confirm.js";
import { h, put, text } from "./dom.js";
import { feeds } from "./feeds.js";
import { patch, post, send } from "./http.js";
import { ENDED } from "./jobtexts.js";
import { reasonOf } from "./panels.js";
import { t } from "./words.js";

export function jobActions({ id, now, changed, removed }) {
  const problem = h("p", { class: "note", data: { tone: "bad" }, role: "alert", hidden: true });
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
  const run = async (step) => {
    problem.hidden = true;
    try {
      const job = await step();
      if (job) changed(job);
      feeds.active.ask();
    } catch (error) {
      problem.hidden = false;
      text(problem, reasonOf(error));
    }
  };
  const told = (verb) => () => run(() => post(`/jobs/${id}/${verb}`));
  const cancel = async () =>
    (await confirmed(t("job.cancel.sure"), t("job.cancel"))) && run(() => post(`/jobs/${id}/cancel`));
  const remove = async () =>
    (await confirmed(t("job.delete.sure"), t("job.delete"))) &&
    run(async () => (await send(`/jobs/${id}`, { method: "DELETE" }), removed()));
  const button = (key, action, kind) => h("button", { type: "button", class: kind, onclick: action }, t(key));
  const offered = (state) => {
    if (ENDED.has(state)) return [button("job.delete", remove, "danger")];
    if (state === "canceling") return [];
    const pause =
      state === "paused"
        ? button("job.resume", told("resume"), "primary")
        : button("job.pause", told("pause"));
    return [pause, button("job.cancel", cancel, "danger")];
  };
  let shown = null;
  return {
    node: h("div", { class: "stack" }, buttons, set, problem),
    draw(job) {
      const kind = ENDED.has(job.state)
        ? "ended"
        : job.state === "paused" || job.state === "canceling"
          ? job.state
          : "going";
      if (kind !== shown) replaceButtons(buttons, offered(job.state));
      shown = kind;
      set.hidden = ENDED.has(job.state);
      if (document.activeElement !== priority && priority.dataset.of !== String(now()?.priority))
        priority.value = job.priority;
      priority.dataset.of = String(job.priority);
    },
  };
}

/** Whoever stood on a button that goes stands on the one that takes its place, or where it will come. */
function replaceButtons(box, next) {
  const held = box.contains(document.activeElement);
  put(box, next);
  if (held) (next[0] ?? box).focus();
}
