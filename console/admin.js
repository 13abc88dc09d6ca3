// The page of administrators: dead letters, API keys, storage, versions and settings, as far as the key may see them.

import { h } from "./dom.js";
import { lettersPanel } from "./deadletters.js";
import { settingsPanel, versionsPanel } from "./installation.js";
import { keysPanel } from "./keys.js";
import { outcome } from "./operations.js";
import { administers, may } from "./session.js";
import { storagePanel } from "./storage.js";
import { t } from "./words.js";

export function adminView() {
  const done = outcome();
  const panels = administers() ? permitted(done) : [h("p", { class: "note" }, t("app.forbidden"))];
  return {
    node: h("div", { class: "stack" }, h("h1", {}, t("nav.admin")), done.node, panels),
    close() {},
  };
}

/** `operate` and `audit` see letters and storage, `admin` and `audit` see keys and settings. */
function permitted(done) {
  const reviews = may("admin") || may("audit");
  return [
    lettersPanel(done),
    reviews ? keysPanel(done) : null,
    storagePanel(done),
    versionsPanel(),
    reviews ? settingsPanel() : null,
  ];
}
