// Parts of the operators' pages: requests with their outcome as text, and panels that load anew.

import { h, put, text } from "./dom.js";
import { failureText, panel, reasonOf } from "./panels.js";
import { t } from "./words.js";

/** The outcome of the last request. `run(step, words)` → whether it succeeded; `words`: what is written then. */
export function outcome() {
  const node = h("p", { class: "note", role: "status", tabindex: "-1", hidden: true });
  const show = (tone, words) => {
    node.dataset.tone = tone;
    node.hidden = !words;
    text(node, words);
  };
  const run = async (step, words = "") => {
    show("ok", "");
    try {
      await step();
      show("ok", words);
      return true;
    } catch (error) {
      show("bad", reasonOf(error));
      return false;
    }
  };
  return { node, run, say: (words) => show("ok", words) };
}

/** A button; `about` names its object for screen readers. */
export function button(label, action, { kind, about } = {}) {
  const name = about ? `${label} ${about}` : null;
  return h("button", { type: "button", class: kind, onclick: action, "aria-label": name }, label);
}

/** Replace the buttons of a box; a focus on one of them moves to the first new one, or to the box. */
export function replaceButtons(box, next) {
  const held = box.contains(document.activeElement);
  put(box, next);
  if (held) (next.find(Boolean) ?? box).focus();
}

/** A panel that draws the result of `load` with `draw`. `reload()` loads it again. `before`: a node above it. */
export function loadedPanel(title, load, draw, before = null) {
  const note = h("p", { class: "empty" }, t("app.loading"));
  const body = h("div", { tabindex: "-1" });
  const reload = async () => {
    const held = body.contains(document.activeElement);
    try {
      put(body, draw(await load()));
      note.hidden = true;
    } catch (error) {
      put(body);
      note.hidden = false;
      text(note, failureText(error));
    }
    if (held) body.focus();
  };
  reload();
  return { node: panel(title, null, before, note, body), reload };
}
