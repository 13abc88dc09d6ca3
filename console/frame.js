// The bar above every view: verdict, sections, language, colours, key.

import { h, put, say, text } from "./dom.js";
import { feeds, onReachable } from "./feeds.js";
import { conditionTexts } from "./conditions.js";
import { clock, duration } from "./format.js";
import { isLost, redisDown, refused, statusAge, visibleFor, watchFreshness } from "./freshness.js";
import { keyDialog } from "./keydialog.js";
import { levelBadge } from "./marks.js";
import { verdict } from "./verdict.js";
import { administers, caller, isNamed } from "./session.js";
import { language, speak, t } from "./words.js";

export const SECTIONS = ["overview", "jobs", "workers", "models", "submit", "admin"];

/** Fill the bar; `section` is the one that is shown. Called again for another language. */
export function drawFrame(section) {
  document.title = `${t(`nav.${section}`)} · Takt`;
  text(document.getElementById("skip"), t("app.skip"));
  const home = h(
    "a",
    { class: "brand", href: "#/" },
    h("img", { src: "/console/icon.svg", alt: "" }),
    h("span", {}, "Takt"),
  );
  const held = document.activeElement?.id; // a new bar would lose the focus
  put(
    document.getElementById("bar"),
    home,
    navigation(section),
    h("div", { class: "bar-end" }, verdictLink, languageButton(), themeChoice(), keyButton()),
  );
  verdictLink.hidden = section === "overview"; // it says so itself, and why
  drawVerdict();
  if (held && document.getElementById("bar").querySelector(`#${held}`)) document.getElementById(held).focus();
}

function navigation(section) {
  const open = SECTIONS.filter((name) => name !== "admin" || administers());
  const links = open.map((name) =>
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
      id: "language",
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
  const known = isNamed();
  const label = known ? caller.name.replace(/^user\./, "") : t("key.button");
  const name = caller?.kind === "key" ? `${t("key.button")}: ${label}` : null;
  const props = { type: "button", id: "caller", class: "caller", "aria-label": name, title: name, onclick: () => keyDialog() };
  return h("button", props, label);
}

const verdictLink = h("a", { href: "#/", class: "verdict-link", id: "verdict" });
let told = null;

function drawVerdict() {
  const { level, conditions } = now();
  if (verdictLink.dataset.level !== level || verdictLink.lang !== language())
    put(verdictLink, levelBadge(level));
  Object.assign(verdictLink.dataset, { level });
  verdictLink.lang = language();
  if (told !== null && told !== level)
    say([t(`level.${level}`), conditions[0] ? conditionTexts(conditions[0])[0] : ""].join(". "));
  told = level === "unknown" ? told : level;
}

/** The verdict now. */
export function now() {
  return verdict({
    status: feeds.status.value,
    age: statusAge(),
    visible: visibleFor(),
    refused: refused(),
  });
}

/** Keep the verdict and the age of the data true, whichever view is shown. */
export function watchHealth() {
  const line = document.getElementById("link");
  let reachable = true;
  const draw = () => {
    drawVerdict();
    const words = ageText(reachable);
    if (!words && line.textContent) say(t("app.back"));
    text(line, words);
  };
  feeds.status.watch(draw);
  onReachable(({ ok }) => {
    reachable = ok;
    draw();
  });
  watchFreshness(draw);
}

/** The notice about the age of the shown data; empty: it is live. */
function ageText(reachable) {
  if (!reachable || isLost()) {
    if (!feeds.status.at) return t("app.lost.ever");
    return t("app.lost", { at: clock(new Date(feeds.status.at)), for: duration(Math.floor(statusAge())) });
  }
  const down = redisDown();
  return down ? t("app.old", { at: clock(down.since) }) : "";
}
