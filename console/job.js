// One job, live: how far, when it ends, why it waits, and what its owner may do with it.

import { h, put, say, text } from "./dom.js";
import { downloads } from "./downloads.js";
import { clock, duration, figure, NONE, number, percent, shortId } from "./format.js";
import { jobActions } from "./jobactions.js";
import { drawProgress, drawState, progressText } from "./joblines.js";
import { endText, ENDED, jobName, ownerText, waitReason } from "./jobtexts.js";
import { jobTimeline } from "./jobtimeline.js";
import { follow } from "./jobwatch.js";
import { errorRows } from "./joberrors.js";
import { meter } from "./marks.js";
import { failureText } from "./panels.js";
import { reasonText, t } from "./words.js";

/** `told(job)` is called after each change, `gone(id)` after its deletion. `back()`: the address of the list. */
export function jobDetail(id, { back, open, told, gone }) {
  const title = h("h2", { id: "job-title", tabindex: "-1" }, t("job.title", { id: shortId(id) }));
  const close = h("a", { href: back(), class: "end" }, t("app.close"));
  const parts = sections();
  const body = h("div", {}, h("p", { class: "empty" }, t("app.loading")));
  const node = h(
    "section",
    { class: "panel detail", "aria-labelledby": "job-title" },
    h("header", {}, title, parts.state, close),
    body,
  );
  let last = null;
  const draw = (job) => {
    if (!last) put(body, parts.nodes);
    parts.draw(job);
    text(title, jobName(job));
    if (last && last.state !== job.state)
      say(t("job.done.say", { id: jobName(job), state: t(`state.${job.state}`) }));
    last = job;
    told(job);
  };
  const watch = follow(id, draw, (error) =>
    put(body, h("p", { class: "note", data: { tone: "bad" } }, goneText(error))),
  );
  parts.begin({ id, now: () => last, changed: draw, open, removed: () => (gone(id), (location.hash = back())) });
  return { node, close: watch.close, focus: () => title.focus({ preventScroll: true }) };
}

function goneText(error) {
  if (error.code === "job_not_found") return t("job.gone");
  if (error.code === "job_expired") return t("job.expired");
  return failureText(error);
}

function sections() {
  const state = h("span");
  const bar = meter([0, 0], "");
  const rows = h("p", { class: "big" });
  const facts = h("dl", { class: "facts" });
  const why = h("p", { class: "note", data: { tone: "warn" } });
  const failure = h("p", { class: "note", data: { tone: "bad" } });
  const slots = { actions: h("section"), files: h("section"), errors: h("section"), timeline: h("section") };
  let drawn = [];
  return {
    state,
    nodes: [
      h("section", {}, rows, bar.node, why, failure),
      slots.actions,
      h("section", {}, facts),
      slots.files,
      slots.errors,
      slots.timeline,
    ],
    begin(job) {
      drawn = [jobActions(job), downloads(job), errorRows(job), jobTimeline(job)];
      put(slots.actions, drawn[0].node);
      put(slots.files, drawn[1].node);
      put(slots.errors, drawn[2].node);
      put(slots.timeline, drawn[3].node);
    },
    draw(job) {
      drawState(state, job);
      drawProgress(bar, job);
      text(rows, progressText(job) + shareText(job) + failedText(job));
      text(
        why,
        job.waiting
          ? `${t(job.state === "running" ? "job.why.running" : "job.why")}: ${waitReason(job)}. ${job.waiting.reason === "behind" ? "" : job.waiting.detail}`
          : "",
      );
      why.hidden = !job.waiting;
      text(failure, job.error ? `${t("job.error")}: ${reasonText(job.error.code, job.error.detail)} · ${job.error.code}` : "");
      failure.hidden = !job.error;
      drawFacts(facts, job);
      drawn.forEach((part) => part.draw(job));
    },
  };
}

/** Of the rows beside it: events bring rows, and no share of them. */
function shareText(job) {
  if (!job.rows_total) return "";
  return ` · ${percent((job.rows_succeeded + job.rows_failed) / job.rows_total, 1)}`;
}

function failedText({ rows_failed: failed }) {
  return failed ? ` · ${t("job.rows.failed", { n: number(failed) })}` : "";
}

function jobLink(id) {
  return h("a", { href: `#/jobs/${id}` }, shortId(id));
}

/** The deliveries of a webhook: its state, and the last answer if it was no success. */
function webhookText({ url, state, attempts }) {
  const last = attempts.at(-1);
  const told = t(`job.webhook.${state}`, { url, n: number(attempts.length) });
  if (!last || state === "delivered") return attempts.length ? told : url;
  const answer = last.status ?? t("job.webhook.no_answer", { reason: last.error });
  return `${told}, ${t("job.webhook.last", { answer })}`;
}

function drawFacts(list, job) {
  const ended = ENDED.has(job.state);
  const facts = [
    ["job.end", ended ? null : endText(job)],
    ["job.speed", job.rows_per_s ? `${figure(job.rows_per_s)} ${t("unit.rows_per_s")}` : null],
    ["job.place", job.position ? number(job.position) : null],
    ["job.owner", ownerText(job)],
    ["job.model", h("a", { href: `#/models/${job.model}@${job.version}` }, `${job.model} ${job.version}`)],
    ["job.reference", job.reference],
    ["job.tags", job.tags.join(", ")],
    ["job.created", clock(job.created_at)],
    ["job.started", job.started_at && clock(job.started_at)],
    [
      "job.finished",
      job.finished_at &&
        `${clock(job.finished_at)}${job.started_at ? ` · ${duration((new Date(job.finished_at) - new Date(job.started_at)) / 1000)}` : ""}`,
    ],
    ["job.expires", job.expires_at && clock(job.expires_at)],
    ["job.webhook", job.webhook && webhookText(job.webhook)],
    ["job.retry_of", job.retry_of && jobLink(job.retry_of)],
    ["job.replay_of", job.replay_of && jobLink(job.replay_of)],
    ["job.id", h("code", {}, job.id)],
    ["job.digest", h("code", { title: job.digest }, job.digest.slice(0, 16) || NONE)],
  ];
  const shown = facts.filter(([, value]) => value);
  const said = JSON.stringify(shown.map(([key, value]) => [key, value.textContent ?? value]));
  if (list.dataset.said === said) return;
  list.dataset.said = said;
  put(
    list,
    shown.flatMap(([key, value]) => [h("dt", {}, t(key)), h("dd", {}, value)]),
  );
}
