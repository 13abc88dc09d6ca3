// The list of jobs with its filters, and beside it the one that is chosen.

import { h, put, text } from "./dom.js";
import { feeds } from "./feeds.js";
import { filters, requestOf } from "./filters.js";
import { number } from "./format.js";
import { jobDetail } from "./job.js";
import { JobList } from "./joblist.js";
import { jobRow, showsOwners } from "./jobrow.js";
import { manyJobs } from "./manyjobs.js";
import { failureText } from "./panels.js";
import { caller, seesAllJobs } from "./session.js";
import { virtualRows } from "./virtual.js";
import { t } from "./words.js";

const REFRESH_MS = 2500;
const NEAR_END = 30;
const COLUMNS = [
  ["job", "30%"],
  ["state", "8.5rem"],
  ["model", "9rem"],
  ["owner", "8rem"],
  ["progress", "22%"],
  ["failed", "5rem", "number"],
  ["ends", "9.5rem"],
  ["created", "8.5rem"],
];

export function jobsView(place) {
  const view = { place, list: null, detail: null };
  const foot = h("p", { class: "table-foot", role: "status" });
  const columns = COLUMNS.filter(([name]) => name !== "owner" || showsOwners());
  const heads = columns.map(([name, width, kind = ""]) =>
    h("th", { scope: "col", class: `of-${name} ${kind}`, style: { width } }, t(`jobs.col.${name}`)),
  );
  const caption = h("caption", { class: "hidden-text" });
  const table = h("table", {}, caption, h("thead", {}, h("tr", { "aria-rowindex": 1 }, heads)));
  const scroller = h(
    "div",
    { class: "table-window", tabindex: "0", role: "region", "aria-label": t("jobs.title") },
    table,
  );
  const none = h("div", { class: "empty none", role: "status", hidden: true });
  scroller.append(none);
  const side = h("div", { class: "list" });
  const node = h("div", { class: "jobs" });
  let shown = [0, 0];

  const rows = virtualRows(
    scroller,
    table,
    (job) => jobRow(job, () => view.place),
    (first, last) => {
      shown = [first, last];
      if (last > view.list.jobs.length - NEAR_END) view.list.more();
    },
  );
  const changed = () => {
    const { jobs, complete, error } = view.list;
    rows.set(jobs);
    text(caption, t("jobs.caption", { n: number(jobs.length) }));
    text(
      foot,
      error
        ? failureText(error)
        : `${t("jobs.caption", { n: number(jobs.length) })} ${complete ? t("jobs.end") : t("jobs.more")} ${whose()}`,
    );
    const filtered = view.place.query.size > 0;
    none.hidden = jobs.length > 0 || !complete;
    if (!none.hidden) put(none, emptyList(filtered));
  };
  const restart = () => {
    view.list?.close();
    scroller.scrollTop = 0;
    view.list = new JobList(requestOf(view.place.query), changed);
    rows.set([]);
    none.hidden = true;
    text(foot, t("app.loading"));
    view.list.more();
  };
  const form = filters(place.query, (query) => (location.hash = address(view.place.rest, query)));
  const open = () => {
    view.detail?.close();
    view.detail = view.place.rest
      ? jobDetail(view.place.rest, {
          back: () => address("", view.place.query),
          open: (id) => (location.hash = address(id, view.place.query)),
          told: (job) => (view.list.update([job]), rows.redraw()),
          gone: (id) => (view.list.remove(id), changed()),
        })
      : null;
    node.classList.toggle("open", Boolean(view.detail));
    node.replaceChildren(side, ...(view.detail ? [view.detail.node] : []));
    view.detail?.focus();
  };
  const many = manyJobs(() => requestOf(view.place.query), restart);
  side.append(h("div", { class: "panel" }, h("div", { class: "tools" }, form.node, many), scroller, foot));
  restart();
  open();
  const stop = feeds.models.watch((value) => value && form.models(value.models.map((model) => model.name)));
  const leave = (event) => {
    if (event.key === "Escape" && view.place.rest && !document.querySelector("dialog[open]"))
      location.hash = address("", view.place.query);
  };
  document.addEventListener("keydown", leave);
  const timer = setInterval(
    () => document.hidden || view.list.refresh(view.list.jobs.slice(...shown)),
    REFRESH_MS,
  );
  return {
    node: h("div", { class: "stack" }, h("h1", {}, t("jobs.title")), node),
    close() {
      document.removeEventListener("keydown", leave);
      clearInterval(timer);
      for (const part of [rows, view.list, view.detail]) part?.close();
      stop();
    },
    move(next) {
      const before = view.place;
      view.place = next;
      if (before.query.toString() !== next.query.toString()) (form.set(next.query), restart());
      if (before.rest !== next.rest) open();
      rows.redraw();
      if (before.rest && !next.rest) (linkOf(scroller, before.rest) ?? scroller).focus();
    },
  };
}

/** The reason for an empty list, with a link to the list without a filter. */
function emptyList(filtered) {
  const words = filtered ? t("jobs.none") : t("jobs.empty");
  const all = filtered ? h("a", { href: "#/jobs" }, t("jobs.filter.clear")) : null;
  return [h("p", {}, words), seesAllJobs() ? null : h("p", {}, whose()), all];
}

/** The owner of the listed jobs; empty if the list has the jobs of all owners. */
function whose() {
  return seesAllJobs() ? "" : t("jobs.own", { name: caller.name });
}

/** The link of a job in the list, if its row is drawn. */
function linkOf(scroller, id) {
  return [...scroller.querySelectorAll("a")].find((link) => link.hash.startsWith(`#/jobs/${id}`));
}

/** Where a job, or none, is shown under these filters. */
export function address(id, query) {
  const words = query.toString();
  return `#/jobs${id ? `/${id}` : ""}${words ? `?${words}` : ""}`;
}
