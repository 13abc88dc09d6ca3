// The models of the repository: what each takes and gives, who holds it, how it runs, and a try-out.

import { h, keyed, put, text } from "./dom.js";
import { feeds } from "./feeds.js";
import { failureText } from "./panels.js";
import { get } from "./http.js";
import { badge } from "./marks.js";
import { modelDetail } from "./model.js";
import { t } from "./words.js";

export function modelsView(place) {
  const list = h("ul", { class: "model-list" });
  const note = h("p", { class: "empty" }, t("app.loading"));
  const detail = h("div", { class: "stack" });
  const heading = h("h2", { id: "model-list" }, t("models.list"));
  const nav = h(
    "nav",
    { class: "panel", "aria-labelledby": "model-list" },
    h("header", {}, heading),
    note,
    list,
  );
  const node = h(
    "div",
    { class: "stack" },
    h("h1", {}, t("models.title")),
    h("div", { class: "models" }, nav, detail),
  );
  const sync = keyed(list, entry);
  const chosen = { rest: null };

  const open = async (rest) => {
    if (chosen.rest === rest) return;
    chosen.rest = rest;
    const [name, version] = rest.split("@");
    mark(list, name);
    try {
      const path = `/models/${encodeURIComponent(name)}`;
      const found = await get(version ? `${path}/versions/${encodeURIComponent(version)}` : path);
      if (chosen.rest === rest) put(detail, modelDetail(found, () => version || renew(rest, path)));
    } catch (error) {
      put(detail, h("p", { class: "note", data: { tone: "bad" } }, failureText(error)));
    }
  };
  /** Draw the new default version around the deployment, which keeps its message and its focus. */
  const renew = async (rest, path) => {
    const found = await get(path).catch(() => null); // the next change draws it
    if (!found || chosen.rest !== rest) return;
    const shown = [...detail.children];
    const fresh = modelDetail(found, () => renew(rest, path), shown[1]);
    fresh.forEach((node, place) => node === shown[place] || shown[place].replaceWith(node));
  };
  const stop = feeds.models.watch((value, error) => {
    text(note, error && !value ? failureText(error) : value ? "" : t("app.loading"));
    note.hidden = Boolean(value);
    if (!value) return;
    sync(
      value.models.map((model) => ({ ...model, isDefault: model.name === value.default_model })),
      (model) => model.name,
    );
    open(place.rest || value.default_model);
    mark(list, chosen.rest.split("@")[0]);
  });
  return {
    node,
    close: stop,
    move(next) {
      place = next;
      if (next.rest) open(next.rest);
    },
  };
}

function entry(model) {
  const state = h("span");
  const link = h("a", { href: `#/models/${model.name}`, data: { name: model.name } });
  const about = h("span", { class: "small muted" }, `${model.framework} · ${model.versions.join(", ")}`);
  link.append(h("span", { class: "name" }, model.name, state), about);
  return {
    node: h("li", {}, link),
    update(now) {
      const absent = now.on_demand
        ? badge(["info", "dots"], t("models.on_demand"))
        : badge(["warn", "triangle"], t("models.not_loaded"));
      const loaded = now.loaded ? badge(["ok", "check"], t("models.loaded")) : absent;
      put(state, loaded, now.isDefault ? h("span", { class: "badge" }, t("models.default")) : null);
    },
  };
}

function mark(list, name) {
  for (const link of list.querySelectorAll("a")) {
    if (link.dataset.name === name) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}
