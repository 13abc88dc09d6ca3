// Dead letters: messages that could not be read, and chunks that failed; each can be requeued or dropped.

import { confirmed } from "./confirm.js";
import { h } from "./dom.js";
import { bytes, clock } from "./format.js";
import { get, post, remove } from "./http.js";
import { button, loadedPanel } from "./operations.js";
import { table } from "./panels.js";
import { may } from "./session.js";
import { known, t } from "./words.js";

const SHOWN = 100;
const REQUEUED = new Set(["entry", "doorbell", "chunk"]);

export function lettersPanel(done) {
  const requeue = async (letter) => {
    const { id } = letter;
    await done.run(() => post(`/dead-letters/${id}/requeue`), t("letters.requeued", { what: whatOf(letter) }));
    panel.reload();
  };
  const drop = async (letter) => {
    const { id } = letter;
    if (!(await confirmed(t("letters.drop.sure", { what: whatOf(letter) }), t("letters.drop")))) return;
    await done.run(() => remove(`/dead-letters/${id}`), t("letters.dropped", { what: whatOf(letter) }));
    panel.reload();
  };
  const actions = (letter) =>
    h(
      "div",
      { class: "actions" },
      REQUEUED.has(letter.kind) && letter.stored_bytes === letter.size_bytes
        ? button(t("letters.requeue"), () => requeue(letter), { about: letter.id })
        : null,
      button(t("letters.drop"), () => drop(letter), { kind: "danger", about: letter.id }),
    );
  const panel = loadedPanel(
    t("letters.title"),
    () => get(`/dead-letters?limit=${SHOWN}`),
    ({ dead_letters: letters }) => list(letters, may("operate") ? actions : null),
    h("p", { class: "inset small muted" }, t("letters.about")),
  );
  return panel.node;
}

/** The kind of a letter and its model version. */
function whatOf({ kind, model }) {
  const word = known(`letters.kind.${kind}`) ? t(`letters.kind.${kind}`) : kind;
  return [word, model].filter(Boolean).join(" · ");
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
    h("td", { class: "nowrap" }, whatOf(letter)),
    h("td", {}, letter.reason, place),
    h("td", { class: "number" }, bytes(letter.size_bytes)),
    actions ? h("td", {}, actions(letter)) : null,
  );
}
