// Asking for the API key, where the service wants one.

import { h, text } from "./dom.js";
import { refresh } from "./feeds.js";
import { key, setKey } from "./session.js";
import { t } from "./words.js";

let open = null;
let dismissed = false;

/** Ask for a key, or let it be changed. `refused`: the gateway wants one, or another. */
export function keyDialog(refused = false) {
  if (open || (refused && dismissed)) return; // whoever closed it will ask for it
  dismissed = refused;
  const field = h("input", {
    id: "key",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    "aria-describedby": "key-why",
  });
  const state = h("p", {
    class: refused && key() ? "note" : "muted",
    data: refused && key() ? { tone: "bad" } : {},
  });
  text(state, refused && key() ? t("key.refused") : key() ? t("key.set") : refused ? "" : t("key.none"));
  const forget = key()
    ? h("button", { type: "button", class: "danger", onclick: () => use(null) }, t("key.forget"))
    : null;
  const form = h(
    "form",
    { method: "dialog", onsubmit: (event) => (event.preventDefault(), use(field.value.trim())) },
    h("h2", { id: "key-title" }, t("key.title")),
    h("p", { id: "key-why" }, t("key.why")),
    state,
    h("div", { class: "field" }, h("label", { for: "key" }, t("key.label")), field),
    h(
      "div",
      { class: "actions" },
      h("button", { class: "primary", type: "submit" }, t("key.use")),
      forget,
      h("button", { type: "button", onclick: () => open.close() }, t("app.close")),
    ),
  );
  open = h("dialog", { "aria-labelledby": "key-title", onclose: gone }, form);
  document.body.append(open);
  open.showModal();
  field.focus();
}

function use(value) {
  dismissed = false;
  setKey(value);
  open.close();
  refresh();
}

function gone() {
  open.remove();
  open = null;
}
