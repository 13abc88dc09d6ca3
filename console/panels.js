// The plain frame of a part of a view, and tables with a caption.

import { h } from "./dom.js";
import { ApiError } from "./http.js";
import { reasonText, t } from "./words.js";

let numbers = 0;

/** A panel under a heading that names it for screen readers, too. */
export function panel(title, end, ...children) {
  const id = `panel-${(numbers += 1)}`;
  const head = h("header", {}, h("h2", { id }, title), end ? h("span", { class: "end" }, end) : null);
  return h("section", { class: "panel", "aria-labelledby": id }, head, ...children);
}

/** A table with a caption that only screen readers see. `columns`: `[words, class]` each. `kind`: "cards" on a phone. */
export function table(caption, columns, body, kind = "") {
  const heads = columns.map(([words, of]) => h("th", { scope: "col", class: of }, words));
  return h(
    "div",
    { class: `scroll ${kind}`.trim(), tabindex: "0", role: "group", "aria-label": caption },
    h("table", {}, h("caption", { class: "hidden-text" }, caption), h("thead", {}, h("tr", {}, heads)), body),
  );
}

/** What to write where data cannot be shown. */
export function failureText(error) {
  if (error instanceof ApiError && error.status === 403) return t("app.forbidden");
  if (error instanceof ApiError && error.status === 401) return t("app.key_required");
  return t("app.failed", { reason: reasonOf(error) });
}

/** The reason of an error in the language of the page. */
export function reasonOf(error) {
  const detail = Array.isArray(error.detail)
    ? error.detail.map(({ field, msg }) => [field, msg].filter(Boolean).join(": ")).join("; ")
    : error.message;
  return reasonText(error.code, detail);
}
