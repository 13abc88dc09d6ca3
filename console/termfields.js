// What is asked of a file's job: fields that become the query of `POST /jobs`.

import { h } from "./dom.js";
import { isCsv } from "./filekinds.js";
import { t } from "./words.js";

export function termFields() {
  const model = h("select", { id: "term-model", required: true });
  const version = h("select", { id: "term-version" });
  const plain = {
    reference: input("reference", { maxlength: 200 }),
    priority: input("priority", { type: "number", min: 0, max: 9, value: 5 }),
    max_errors: input("max_errors", {
      value: "10%",
      pattern: String.raw`\s*(\d{1,12}|\d{1,3}(\.\d+)?\s*%|[01]?\.\d+)\s*`,
    }),
    id_column: input("id_column", { maxlength: 200 }),
  };
  const lists = { tag: input("tags"), keep_columns: input("keep_columns") };
  const csv = {
    charset: h(
      "select",
      { id: "term-charset" },
      ["utf-8", "cp949", "euc-kr", "latin-1", "utf-16"].map((one) =>
        h("option", { value: one === "utf-8" ? "" : one }, one),
      ),
    ),
    delimiter: h(
      "select",
      { id: "term-delimiter" },
      [
        ["", ","],
        [";", ";"],
        ["tab", "Tab"],
        ["|", "|"],
      ].map(([value, words]) => h("option", { value }, words)),
    ),
    decimal: h(
      "select",
      { id: "term-decimal" },
      [
        ["", "."],
        [",", ","],
      ].map(([value, words]) => h("option", { value }, words)),
    ),
  };
  const first = [
    field("model", model),
    field("version", version),
    field("reference", plain.reference, "reference.about"),
    field("tags", lists.tag, "tags.about"),
    field("priority", plain.priority, "priority.about"),
    field("max_errors", plain.max_errors, "max_errors.about"),
    field("id_column", plain.id_column),
    field("keep_columns", lists.keep_columns, "tags.about"),
  ];
  const csvFields = h(
    "fieldset",
    { class: "fields", hidden: true },
    h("legend", { class: "hidden-text" }, t("submit.csv")),
    Object.entries(csv).map(([name, control]) => field(name, control)),
  );
  const node = h("div", { class: "stack" }, h("div", { class: "fields" }, first), csvFields);
  let known = "";
  const versions = async (load) => {
    const found = await load(model.value);
    const options = found.versions.map((one) => h("option", { value: one }, one));
    version.replaceChildren(
      h("option", { value: "" }, t("submit.version.default", { version: found.version })),
      ...options,
    );
  };
  return {
    node,
    fileChosen: (file) => (csvFields.hidden = !file || !isCsv(file.name)),
    models({ models, default_model: chosen }, load) {
      const names = models.map((one) => one.name);
      if (names.join() === known) return;
      known = names.join();
      model.replaceChildren(
        ...names.map((name) => h("option", { value: name, selected: name === chosen }, name)),
      );
      model.onchange = () => versions(load).catch(() => version.replaceChildren());
      model.onchange();
    },
    query(checking) {
      const query = new URLSearchParams({ model: model.value });
      if (version.value) query.set("version", version.value);
      for (const [name, control] of Object.entries(plain))
        if (control.value.trim()) query.set(name, control.value.trim());
      for (const [name, control] of Object.entries(lists))
        for (const one of control.value.split(",")) if (one.trim()) query.append(name, one.trim());
      if (!csvFields.hidden)
        for (const [name, control] of Object.entries(csv)) if (control.value) query.set(name, control.value);
      if (checking) query.set("validate_only", "true");
      return query;
    },
  };
}

function input(name, props = {}) {
  return h("input", { id: `term-${name}`, type: "text", autocomplete: "off", spellcheck: "false", ...props });
}

function field(name, control, about) {
  const hint = about ? h("span", { class: "hint", id: `${control.id}-hint` }, t(`submit.${about}`)) : null;
  if (hint) control.setAttribute("aria-describedby", hint.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, t(`submit.${name}`)), control, hint);
}
