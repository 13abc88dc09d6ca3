// The language of the page: one function that gives a string of the table in `strings.js`.

import { STRINGS } from "./strings.js";

const LANGUAGES = ["en", "ko"];
const listeners = new Set();

export function language() {
  return document.documentElement.lang === "ko" ? "ko" : "en";
}

/** Choose a language for this browser, and draw everything anew in it. */
export function speak(chosen) {
  document.documentElement.lang = chosen;
  try {
    localStorage.setItem("takt.language", chosen);
  } catch {
    // it holds until the page is closed
  }
  for (const listener of listeners) listener();
}

export function onLanguage(listener) {
  listeners.add(listener);
}

/** The string of a key, with `{name}` replaced by the parameter of that name. */
export function t(key, parameters = {}) {
  const found = STRINGS[key]?.[LANGUAGES.indexOf(language())] ?? key;
  return found.replace(/\{(\w+)\}/g, (_, name) => parameters[name] ?? "");
}

/** Whether the table has a string: for words that come from the service, which may know newer ones. */
export function known(key) {
  return key in STRINGS;
}
