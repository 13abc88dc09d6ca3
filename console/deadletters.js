// Dead letters: messages that could not be read, and chunks that were given up; each can be requeued or dropped.

import { confirmed } from "./confirm.js";
import { h } from "./dom.js";
import { bytes, clock } from "./format.js";
import { get, post, remove } from "./http.js";
import { button, loadedPanel } from "./operations.js";
import { table } from "./panels.js";
import { may } from "./session.js";
import { t } from "./words.js";

const SHOWN = 100;

export function lettersPanel(done) {
  const requeue = async ({ id }) => {
    await done.run(() => post(`/dead-letters/${id}/requeue`), t("letters.requeued", { id }));
    panel.reload();
  };
  const drop = async ({ id }) => {
    if (!(await confirmed(t("letters.drop.sure", { id }), t("letters.drop")))) return;
    await done.run(() => remove(`/dead-letters/${id}`), t("letters.dropped", { id }));
    panel.reload();
  };
  const actions = (letter) =>
    h(
      "div",
      { class: "actions" },
      button(t("letters.requeue"), () => requeue(letter), { about: letter.id }),
      button(t("letters.drop"), () => drop(letter), { kind: "danger", about: letter.id }),
    );
  const panel = loadedPanel(
    t("letters.title"),
    () => get(`/dead-letters?limit=${SHOWN}`),
    ({ dead_letters: letters }) => list(letters, may("operate") ? actions : null),
  );
  return panel.node;
}

function list(letters, actions) {
  if (!letters.length) return h("p", { class: "empty" }, t("letters.none"));
  const heads = ["id", "at", "kind", "reason"].map((name) => [t(`letters.${name}`)]);
  heads.push([t("letters.size"), "number"]);
  if (actions) heads.push([t("workers.orders")]);
  return table(t("letters.title"), heads, h("tbody", {}, letters.map((letter) => row(letter, actions))));
}

function row(letter, actions) {
  const place = h("div", { class: "small muted" }, letter.place);
  return h(
    "tr",
    {},
    h("th", { scope: "row", class: "mono nowrap" }, letter.id),
    h("td", { class: "nowrap" }, clock(letter.at)),
    h("td", { class: "nowrap" }, [letter.kind, letter.model].filter(Boolean).join(" · ")),
    h("td", {}, letter.reason, place),
    h("td", { class: "number" }, bytes(letter.size_bytes)),
    actions ? h("td", {}, actions(letter)) : null,
  );
}
