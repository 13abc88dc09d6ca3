// The bar above every view: verdict, sections, language, colours, key.

import { h, put, say, text } from "./dom.js";
import { feeds, onReachable } from "./feeds.js";
import { clock } from "./format.js";
import { keyDialog } from "./keydialog.js";
import { levelBadge } from "./marks.js";
import { verdict } from "./verdict.js";
import { asker } from "./session.js";
import { language, speak, t } from "./words.js";

export const SECTIONS = ["overview", "jobs", "workers", "models", "submit"];

/** Fill the bar; `section` is the one that is shown. Called again for another language. */
export function drawFrame(section) {
  document.title = `${t(`nav.${section}`)} · Takt`;
  text(document.getElementById("skip"), t("app.skip"));
  const home = h(
    "a",
    { class: "brand", href: "#/" },
    h("img", { src: "/console/icon.svg", alt: "" }),
    "Takt",
  );
  put(
    document.getElementById("bar"),
    home,
    navigation(section),
    h("div", { class: "bar-end" }, verdictLink, languageButton(), themeChoice(), keyButton()),
  );
  verdictLink.hidden = section === "overview"; // it says so itself, and why
  drawVerdict();
}

function navigation(section) {
  const links = SECTIONS.map((name) =>
    h(
      "li",
      {},
      h(
        "a",
        { href: name === "overview" ? "#/" : `#/${name}`, "aria-current": name === section ? "page" : null },
        t(`nav.${name}`),
      ),
    ),
  );
  return h("nav", { "aria-label": t("app.sections") }, h("ul", {}, links));
}

function languageButton() {
  const other = language() === "en" ? "ko" : "en";
  return h(
    "button",
    {
      class: "plain",
      type: "button",
      lang: other,
      title: t("app.language.label"),
      onclick: () => speak(other),
    },
    t("app.language"),
  );
}

function themeChoice() {
  const chosen = document.documentElement.dataset.theme ?? "system";
  const options = ["system", "light", "dark"].map((name) =>
    h("option", { value: name, selected: name === chosen }, t(`app.theme.${name}`)),
  );
  return h(
    "select",
    { "aria-label": t("app.theme"), id: "theme", onchange: (event) => useTheme(event.target.value) },
    options,
  );
}

function useTheme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  try {
    localStorage.setItem("takt.theme", name);
  } catch {
    // it holds until the page is closed
  }
}

function keyButton() {
  const label = asker?.kind === "session" ? asker.name.replace(/^user\./, "") : t("key.button");
  return h("button", { type: "button", onclick: () => keyDialog() }, label);
}

const verdictLink = h("a", { href: "#/", class: "verdict-link", id: "verdict" });
let told = null;

function drawVerdict() {
  const { level, problems } = now();
  if (verdictLink.dataset.level !== level || verdictLink.lang !== language())
    put(verdictLink, levelBadge(level));
  Object.assign(verdictLink.dataset, { level });
  verdictLink.lang = language();
  if (told !== null && told !== level)
    say([t(`level.${level}`), problems[0] ? t(problems[0].key, problems[0].parameters) : ""].join(". "));
  told = level === "unknown" ? told : level;
}

/** The verdict of what the feeds know now. */
export function now() {
  return verdict({
    ready: feeds.ready.value,
    workers: feeds.workers.value?.workers,
    lanes: feeds.lanes.value?.lanes,
    history: feeds.history.value,
    models: feeds.models.value,
  });
}

/** Keep the verdict and the connection's state true, whichever view is shown. */
export function watchHealth() {
  for (const feed of [feeds.ready, feeds.workers, feeds.lanes, feeds.models]) feed.watch(drawVerdict);
  const line = document.getElementById("link");
  onReachable(({ ok, at }) => {
    if (ok && line.textContent) say(t("app.back"));
    text(line, ok ? "" : t("app.lost", { at: clock(new Date(at)) }));
  });
}
