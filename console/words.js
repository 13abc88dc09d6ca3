// The language of the page: strings of the tables in `strings.js` and `operatorstrings.js`, and reasons of failures.

import { OPERATOR_STRINGS } from "./operatorstrings.js";
import { REASONS } from "./reasons.js";
import { STRINGS } from "./strings.js";

const TABLE = { ...STRINGS, ...OPERATOR_STRINGS };

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
  const found = TABLE[key]?.[LANGUAGES.indexOf(language())] ?? key;
  return found.replace(/\{(\w+)\}/g, (_, name) => parameters[name] ?? "");
}

/** Whether the table has a string: for words that come from the service, which may know newer ones. */
export function known(key) {
  return key in TABLE;
}

/** The reason of a failure. In Korean, its code is translated and the service's own text follows as the detail. */
export function reasonText(code, detail) {
  const translated = language() === "ko" && REASONS[code];
  if (!translated) return detail || code;
  return detail ? `${translated} (${detail})` : translated;
}

/** The reason of a failed row, which begins with an error code if the row itself is valid. */
export function rowReason(detail) {
  return reasonText(detail.split(":", 1)[0], detail);
}
