// What the list of jobs is narrowed to, and how that is written into a request and into the address.

import { h } from "./dom.js";
import { ACTIVE } from "./feeds.js";
import { t } from "./words.js";

const STATES = ["active", "uploading", "queued", "running", "paused", "succeeded", "failed", "canceled"];
const SPANS = { hour: 3600, day: 86400, week: 604800 };
const TYPING_MS = 400;
const NAMES = ["search", "state", "model", "since"];

/** A form over `query`; `changed(query)` is called with another one. */
export function filters(query, changed) {
  const controls = {
    search: input("search"),
    state: select("state", [
      ["", t("jobs.filter.any")],
      ...STATES.map((one) => [one, one === "active" ? t("jobs.filter.active") : t(`state.${one}`)]),
    ]),
    model: select("model", [["", t("jobs.filter.any")]]),
    since: select("since", [
      ["", t("jobs.filter.any")],
      ...Object.keys(SPANS).map((one) => [one, t(`jobs.filter.${one}`)]),
    ]),
  };
  let pause = 0;
  const read = () => {
    pause = clearTimeout(pause);
    const next = new URLSearchParams();
    for (const name of NAMES) if (controls[name].value.trim()) next.set(name, controls[name].value.trim());
    changed(next);
  };
  const soon = (event) => {
    pause = clearTimeout(pause);
    if (event.target === controls.search) pause = setTimeout(() => node.isConnected && read(), TYPING_MS);
  };
  const fields = NAMES.map((name) =>
    h(
      "div",
      { class: "field" },
      h("label", { for: `filter-${name}` }, t(`jobs.filter.${name}`)),
      controls[name],
    ),
  );
  const node = h(
    "form",
    {
      class: "filters",
      role: "search",
      "aria-label": t("jobs.filter"),
      onsubmit: (event) => (event.preventDefault(), read()),
      oninput: soon,
      onchange: read,
    },
    fields,
  );
  const set = (given) => {
    for (const name of NAMES) {
      const value = given.get(name) ?? "";
      if (
        controls[name].tagName === "SELECT" &&
        value &&
        ![...controls[name].options].some((one) => one.value === value)
      )
        controls[name].append(h("option", { value }, value));
      const typing = name === "search" && (pause || controls[name].value.trim() === value);
      if (!typing) controls[name].value = value;
    }
  };
  set(query);
  const models = (names) => {
    const there = [...controls.model.options].map((one) => one.value);
    controls.model.append(
      ...names.filter((name) => !there.includes(name)).map((name) => h("option", { value: name }, name)),
    );
  };
  return { node, set, models };
}

function select(name, options) {
  return h(
    "select",
    { id: `filter-${name}` },
    options.map(([value, words]) => h("option", { value }, words)),
  );
}

function input(name) {
  return h("input", { id: `filter-${name}`, type: "search", maxlength: 200, spellcheck: "false" });
}

/** The filter of `POST /jobs/actions` for a request of `GET /jobs`. */
export function filterOf(wanted) {
  const filter = Object.fromEntries([...wanted].filter(([name]) => name !== "state"));
  const states = wanted.getAll("state");
  return states.length ? { ...filter, state: states } : filter;
}

/** The same as `GET /jobs` wants it. */
export function requestOf(query) {
  const wanted = new URLSearchParams(
    query.get("state") === "active" ? ACTIVE : query.get("state") ? { state: query.get("state") } : {},
  );
  for (const name of ["model", "search", "reference", "tag"]) if (query.get(name)) wanted.set(name, query.get(name));
  const span = SPANS[query.get("since")];
  if (span) wanted.set("created_after", new Date(Date.now() - span * 1000).toISOString());
  return wanted;
}
