// Which view is shown: decided by what stands behind `#`, so that back, reload and bookmarks work.

import { adminView } from "./admin.js";
import { h, put } from "./dom.js";
import { refresh } from "./feeds.js";
import { drawFrame, SECTIONS, watchHealth } from "./frame.js";
import { onUnauthorized } from "./http.js";
import { jobsView } from "./jobs.js";
import { keyDialog } from "./keydialog.js";
import { modelsView } from "./models.js";
import { overview } from "./overview.js";
import { learnAsker, onKey } from "./session.js";
import { submitView } from "./submit.js";
import { onLanguage } from "./words.js";
import { workersView } from "./workers.js";

const VIEWS = {
  overview,
  jobs: jobsView,
  workers: workersView,
  models: modelsView,
  submit: submitView,
  admin: adminView,
};
let shown = { section: null, view: null };

/** `#/jobs/ID?state=failed` → `{section: "jobs", rest: "ID", query}` */
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [section, ...rest] = path.split("/");
  const known = SECTIONS.includes(section) ? section : "overview";
  return { section: known, rest: decodeURIComponent(rest.join("/")), query: new URLSearchParams(query) };
}

/** A view is a function of its place that gives `{node, close(), move?(place)}`; a move within it keeps it. */
function show() {
  const next = place();
  const same = next.section === shown.section;
  drawFrame(next.section);
  if (same && shown.view.move) return shown.view.move(next);
  shown.view?.close();
  const content = document.getElementById("content");
  shown = { section: next.section, view: VIEWS[next.section](next) };
  put(content, h("div", { class: "stack" }, shown.view.node));
  if (!same) window.scrollTo(0, 0);
}

function anew() {
  shown.view?.close();
  shown = { section: null, view: null };
  show();
}

window.addEventListener("hashchange", () => {
  const before = shown.section;
  show();
  if (before !== shown.section) document.getElementById("content").focus({ preventScroll: true });
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part behind # is the view's
  document.getElementById("content").focus();
});
onLanguage(anew);
onKey(() => (refresh(), anew()));
onUnauthorized(() => keyDialog(true));
await learnAsker();
show();
watchHealth();
const problem = place().query.get("sign_in_problem");
if (problem) {
  history.replaceState(null, "", "#/");
  keyDialog(false, problem);
}
