// API keys: the list, a form for a new key, which is shown once, and revocation.

import { confirmed } from "./confirm.js";
import { h, put } from "./dom.js";
import { clock } from "./format.js";
import { get, post, remove } from "./http.js";
import { badge } from "./marks.js";
import { button, loadedPanel } from "./operations.js";
import { table } from "./panels.js";
import { key as ownKey, may } from "./session.js";
import { t } from "./words.js";

const ROLES = ["predict", "submit", "read", "deploy", "operate", "audit", "admin"];
const DEFAULT_ROLES = ["predict", "submit", "read"];
const STATES = { good: ["ok", "check"], expired: ["warn", "triangle"], revoked: ["idle", "dash"] };

export function keysPanel(done) {
  const created = h("div", { role: "status", class: "inset", hidden: true });
  const revoke = async ({ id, name }) => {
    const own = isOwn(id) ? ` ${t("keys.revoke.own")}` : "";
    if (!(await confirmed(t("keys.revoke.sure", { id, name }) + own, t("keys.revoke")))) return;
    await done.run(() => remove(`/keys/${id}`), t("keys.revoked", { id, name }));
    panel.reload();
  };
  const create = async (asked) => {
    const made = await done.run(async () => showToken(created, await post("/keys", asked)));
    if (made) panel.reload();
    return made;
  };
  const changes = may("admin");
  const panel = loadedPanel(
    t("keys.title"),
    () => get("/keys"),
    ({ keys }) => list(keys, changes ? revoke : null),
    changes ? h("div", {}, newKey(create), created) : null,
  );
  return panel.node;
}

function showToken(box, { name, key }) {
  const close = button(t("keys.hide"), () => (put(box), (box.hidden = true)));
  const token = h("code", { class: "token" }, key);
  put(box, h("div", { class: "note stack", data: { tone: "ok" } }, t("keys.created", { name }), token, close));
  box.hidden = false;
}

function newKey(create) {
  const name = h("input", { id: "key-name", required: true, autocomplete: "off" });
  const lifetime = h("input", { id: "key-lifetime", autocomplete: "off", placeholder: "90d" });
  const models = h("input", { id: "key-models", autocomplete: "off" });
  const roles = ROLES.map((role) => h("input", { type: "checkbox", value: role, checked: DEFAULT_ROLES.includes(role) }));
  const send = async (event) => {
    event.preventDefault();
    const asked = {
      name: name.value.trim(),
      roles: roles.filter((box) => box.checked).map((box) => box.value),
      models: models.value.split(",").map((one) => one.trim()).filter(Boolean),
      expires_in: lifetime.value.trim() || null,
    };
    if (await create(asked)) name.value = "";
  };
  const field = (input, key) => h("div", { class: "field" }, h("label", { for: input.id }, t(key)), input);
  const choices = roles.map((box) => h("label", {}, box, " ", box.value));
  return h(
    "form",
    { class: "inset stack", onsubmit: send },
    h(
      "div",
      { class: "fields" },
      field(name, "keys.owner"),
      field(lifetime, "keys.lifetime"),
      field(models, "keys.models.new"),
    ),
    h("fieldset", { class: "actions" }, h("legend", {}, t("keys.roles")), choices),
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, t("keys.create"))),
  );
}

function list(keys, revoke) {
  if (!keys.length) return h("p", { class: "empty" }, t("keys.none"));
  const heads = ["id", "owner", "state", "roles", "models", "used", "expires"].map((name) => [t(`keys.${name}`)]);
  if (revoke) heads.push([t("workers.orders")]);
  return table(t("keys.title"), heads, h("tbody", {}, keys.map((key) => row(key, revoke))));
}

/** Whether this tab uses the key: `takt_{id}_{secret}`. */
function isOwn(id) {
  return ownKey()?.split("_")[1] === id;
}

function row(key, revoke) {
  const state = badge(STATES[key.state] ?? STATES.revoked, t(`keys.state.${key.state}`));
  const order = () => button(t("keys.revoke"), () => revoke(key), { kind: "danger", about: key.id });
  return h(
    "tr",
    {},
    h("th", { scope: "row", class: "mono" }, key.id),
    h("td", {}, key.name, isOwn(key.id) ? h("span", { class: "small muted" }, ` ${t("keys.own")}`) : null),
    h("td", {}, state),
    h("td", {}, key.roles.join(", ")),
    h("td", {}, key.models.join(", ") || t("keys.models.all")),
    h("td", { class: "nowrap" }, key.last_used_at ? clock(key.last_used_at) : t("keys.never")),
    h("td", { class: "nowrap" }, key.expires_at ? clock(key.expires_at) : t("keys.never")),
    revoke ? h("td", {}, key.state === "revoked" ? null : order()) : null,
  );
}
