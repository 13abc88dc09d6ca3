// A question before what cannot be taken back.

import { h } from "./dom.js";
import { t } from "./words.js";

/** Resolves to whether it was confirmed; Escape and the other button mean no. */
export function confirmed(question, action) {
  return new Promise((resolve) => {
    const no = h("button", { type: "button", onclick: () => dialog.close("no") }, t("app.cancel"));
    const yes = h("button", { type: "button", class: "danger", onclick: () => dialog.close("yes") }, action);
    const dialog = h(
      "dialog",
      { "aria-labelledby": "question" },
      h(
        "form",
        { method: "dialog" },
        h("p", { id: "question" }, question),
        h("div", { class: "actions" }, yes, no),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
    no.focus();
  });
}
