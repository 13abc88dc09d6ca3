// A file as a job: what it is, what it is for, its way to the gateway, and what came of it.

import { h, put, text } from "./dom.js";
import { feeds } from "./feeds.js";
import { bytes, number, shortId } from "./format.js";
import { get } from "./http.js";
import { dropZone } from "./dropzone.js";
import { kindOf } from "./filekinds.js";
import { reasonOf, failureText, table } from "./panels.js";
import { meter } from "./marks.js";
import { termFields } from "./termfields.js";
import { upload } from "./upload.js";
import { t } from "./words.js";

export function submitView() {
  const outcome = h("div", { class: "stack", role: "status", "aria-live": "polite" });
  const state = { file: null, running: null };
  const terms = termFields();
  const zone = dropZone((file) => {
    state.file = file;
    put(outcome, file && !kindOf(file.name) ? note("bad", t("submit.kind.unknown")) : null);
    terms.fileChosen(file);
  });
  const send = h("button", { class: "primary", type: "submit" }, t("submit.send"));
  const check = h("button", { type: "button", onclick: () => start(true) }, t("submit.check"));
  const form = h(
    "form",
    { class: "stack", onsubmit: (event) => (event.preventDefault(), start(false)) },
    zone.node,
    terms.node,
    h("div", { class: "actions" }, send, check),
  );

  const start = async (checking) => {
    if (!form.reportValidity() || state.running) return;
    if (!kindOf(state.file.name)) return zone.focus();
    const busy = progress(state.file, () => state.running?.abort());
    put(outcome, busy.node);
    send.disabled = check.disabled = true;
    state.running = upload(state.file, terms.query(checking), busy.draw);
    put(outcome, await result(state.running.done));
    state.running = null;
    send.disabled = check.disabled = false;
    feeds.active.ask();
  };
  const stop = feeds.models.watch((value) => value && terms.models(value, (name) => get(`/models/${name}`)));
  const node = h(
    "div",
    { class: "stack submit" },
    h("h1", {}, t("submit.title")),
    h("div", { class: "panel" }, h("div", { class: "body stack" }, h("div"), form)),
    outcome,
  );
  return { node, close: () => (stop(), state.running?.abort()) };
}

function progress(file, abort) {
  const bar = meter([0], t("submit.progress"));
  bar.node.setAttribute("role", "progressbar");
  bar.node.setAttribute("aria-valuemin", 0);
  bar.node.setAttribute("aria-valuemax", 100);
  const words = h("p", {});
  const began = performance.now();
  const node = h(
    "div",
    { class: "note stack" },
    h("b", {}, file.name),
    bar.node,
    words,
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", class: "danger", onclick: abort }, t("submit.stop")),
    ),
  );
  const draw = (sent, total) => {
    const share = total ? sent / total : 1;
    const rate = sent / Math.max(0.001, (performance.now() - began) / 1000);
    bar.draw([share], t("submit.progress"));
    bar.node.setAttribute("aria-valuenow", Math.round(share * 100));
    text(
      words,
      share < 1
        ? t("submit.sending", { done: bytes(sent), total: bytes(total), rate: bytes(rate) })
        : t("submit.reading"),
    );
  };
  draw(0, file.size);
  return { node, draw };
}

async function result(done) {
  try {
    const { status, body } = await done;
    return "valid" in body ? report(body) : accepted(status, body);
  } catch (error) {
    if (error.name === "AbortError") return note("warn", t("submit.stopped"));
    if (error.status === 0) return note("bad", t("submit.lost"));
    const failed = error.jobId ? h("a", { href: `#/jobs/${error.jobId}` }, t("submit.open")) : null;
    return note(
      "bad",
      error.status === 403 ? failureText(error) : t("submit.refused", { reason: reasonOf(error) }),
      failed,
    );
  }
}

function accepted(_, job) {
  return note(
    "ok",
    t("submit.accepted", { id: job.reference || shortId(job.id) }),
    h("a", { href: `#/jobs/${job.id}` }, t("submit.open")),
  );
}

function report(found) {
  const rows = number(found.rows_total);
  const words = found.valid
    ? t("submit.valid", { rows })
    : t("submit.invalid", { bad: number(found.rows_invalid), rows });
  const ignored = found.ignored_columns.length
    ? h("p", { class: "muted" }, t("submit.ignored", { columns: found.ignored_columns.join(", ") }))
    : null;
  return [
    note(found.valid ? "ok" : "warn", words),
    ignored,
    found.problems.length ? problems(found.problems) : null,
  ];
}

function problems(found) {
  const heads = [[t("job.errors.row"), "number"], [t("submit.line"), "number"], [t("job.errors.why")]];
  const body = found.map((one) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", class: "number" }, number(one.row)),
      h("td", { class: "number" }, one.line ? number(one.line) : "–"),
      h("td", {}, one.reason),
    ),
  );
  return h(
    "div",
    { class: "panel" },
    h("header", {}, h("h2", {}, t("submit.problems"))),
    table(t("submit.problems"), heads, h("tbody", {}, body)),
  );
}

function note(tone, words, link) {
  return h("p", { class: "note", data: { tone } }, words, link ? [" ", link] : null);
}
