// The dialog in which a person signs in, or gives an API key, and ends either.

import { h, text } from "./dom.js";
import { refresh } from "./feeds.js";
import { caller, key, setKey, signOut } from "./session.js";
import { t } from "./words.js";

let open = null;
let dismissed = false;

/**
 * Open the dialog for a key or a sign-in. `refused`: the gateway requires one, or rejected this one;
 * `problem`: why a sign-in failed.
 */
export function keyDialog(refused = false, problem = "") {
  if (open || (refused && dismissed)) return; // a dismissed dialog opens again by its button only
  dismissed = refused;
  const field = h("input", {
    id: "key",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    "aria-describedby": "key-why",
  });
  const bad = problem !== "" || (refused && key() !== null);
  const state = h("p", { class: bad ? "note" : "muted", data: bad ? { tone: "bad" } : {} });
  text(state, problem || (bad ? t("key.refused") : refused ? "" : current()));
  const forget = key()
    ? h("button", { type: "button", class: "danger", onclick: () => use(null) }, t("key.forget"))
    : null;
  const form = h(
    "form",
    { method: "dialog", onsubmit: (event) => (event.preventDefault(), use(field.value.trim())) },
    h("h2", { id: "key-title" }, t("key.title")),
    h("p", { id: "key-why" }, t("key.why")),
    state,
    signing(),
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

/** Text about the key or session in use. */
function current() {
  if (!caller || caller.kind === "none" || caller.kind === "open") return key() ? "" : t("key.none");
  return t(caller.kind === "session" ? "session.set" : "key.set", {
    name: caller.name,
    roles: caller.roles.join(", "),
  });
}

/** The way to sign in, or out. */
function signing() {
  if (caller?.kind === "session") {
    const leave = () => (open.close(), signOut());
    return h("div", { class: "actions" }, h("button", { type: "button", onclick: leave }, t("session.sign_out")));
  }
  if (!caller?.sign_in) return null;
  const { path, provider } = caller.sign_in;
  const label = provider ? t("session.sign_in_at", { provider }) : t("session.sign_in");
  return h("p", {}, h("a", { href: path, class: "button" }, label));
}

async function use(value) {
  dismissed = false;
  await setKey(value);
  open.close();
  refresh();
}

function gone() {
  open.remove();
  open = null;
  const held = document.activeElement;
  if (!held || held === document.body) document.getElementById("caller")?.focus();
}
