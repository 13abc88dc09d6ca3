// The inspection of a worker: the latest events of its log, and the stacks of its threads.

import { h, put } from "./dom.js";
import { clock } from "./format.js";
import { send } from "./http.js";
import { button, outcome } from "./operations.js";
import { panel } from "./panels.js";
import { t } from "./words.js";

/** Empty until `open(worker)`, which requests the log of a worker. */
export function workerInspector() {
  const node = h("div", { hidden: true });
  const close = () => {
    node.hidden = true;
    put(node);
  };
  const open = async (worker) => {
    const shown = inspection(worker, close);
    put(node, shown.node);
    node.hidden = false;
    shown.body.focus();
    await shown.log();
  };
  return { node, open };
}

function inspection({ id, name }, close) {
  const path = `/workers/${id.split("/").map(encodeURIComponent).join("/")}`;
  const body = h("div", { class: "inset", tabindex: "-1" });
  const done = outcome();
  const load = (part, draw) =>
    done.run(async () => {
      put(body, h("p", { class: "muted" }, t("app.loading")));
      try {
        put(body, draw(await (await send(`${path}/${part}`)).json())); // a worker may take seconds to answer
      } catch (error) {
        put(body);
        throw error;
      }
    });
  const log = () => load("log", ({ events }) => eventList(events));
  const stack = () => load("stack", ({ stack: text }) => scrolled(t("workers.stack"), h("pre", {}, text)));
  const buttons = h(
    "div",
    { class: "actions" },
    button(t("workers.log"), log),
    button(t("workers.stack"), stack),
    button(t("app.close"), close),
  );
  return { node: panel(t("workers.inspection", { name }), buttons, done.node, body), body, log };
}

function eventList(events) {
  if (!events.length) return h("p", { class: "muted" }, t("workers.log.none"));
  const lines = events.toReversed().map(line); // the newest first
  return scrolled(t("workers.log"), h("ol", { class: "log", "aria-label": t("workers.log") }, lines));
}

function line({ at, level, event, fields: { exception, ...fields } }) {
  const values = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
  return h(
    "li",
    { data: { level } },
    h("time", { class: "muted", datetime: at }, clock(at)),
    h("b", {}, level),
    h("span", {}, [event, ...values].join(" "), exception ? h("pre", {}, exception) : null),
  );
}

function scrolled(label, content) {
  return h("div", { class: "log-window", tabindex: "0", role: "group", "aria-label": label }, content);
}
