// One field of a form that is made from a spec: it knows its type, its range, and how to say what is wrong.

import { h, text } from "./dom.js";
import { taken } from "./model.js";
import { t } from "./words.js";

const KINDS = {
  float: "number",
  float32: "number",
  int64: "number",
  datetime: "text",
  string: "text",
  bool: "checkbox",
  image: "file",
};

/** `place`: its number in the form, because a name may contain spaces, which no id may.
 * → `{node, name, value(), check(), refuse(why), reset(), focus()}` */
export function inputField(spec, example, place) {
  const id = `try-${place}`;
  const control = make(spec, id);
  const wrong = h("span", { class: "wrong", id: `${id}-wrong` });
  const hint = h(
    "span",
    { class: "hint", id: `${id}-hint` },
    [spec.description, taken(spec)].filter(Boolean).join(" · "),
  );
  const reset = () => (write(spec, control, example), refuse(""));
  const refuse = (why) => {
    text(wrong, why);
    control.setAttribute("aria-invalid", why ? "true" : "false");
  };
  const check = () => {
    const problem = problemOf(spec, control);
    refuse(problem);
    return !problem;
  };
  control.addEventListener("change", check);
  if (spec.type === "image") control.addEventListener("change", () => keepFile(control));
  reset();
  const node = h(
    "div",
    { class: "field" },
    h("label", { for: id, class: "mono" }, spec.name),
    control,
    hint,
    wrong,
  );
  return {
    node,
    name: spec.name,
    value: () => read(spec, control),
    check,
    refuse,
    reset,
    focus: () => control.focus(),
  };
}

function make(spec, id) {
  const about = `${id}-hint ${id}-wrong`;
  if (spec.allowed) {
    const empty = spec.nullable ? [h("option", { value: "" }, t("try.none"))] : [];
    return h(
      "select",
      { id, "aria-describedby": about },
      empty,
      spec.allowed.map((one) => h("option", { value: String(one) }, String(one))),
    );
  }
  const many = spec.shape.length > 0;
  const type = many ? "text" : KINDS[spec.type];
  const number =
    type === "number"
      ? { step: spec.type === "int64" ? 1 : "any", min: spec.minimum, max: spec.maximum }
      : {};
  const placeholder = many
    ? listText(spec)
    : spec.nullable
      ? t("try.none")
      : null;
  return h("input", {
    id,
    type,
    placeholder,
    "aria-describedby": about,
    accept: spec.type === "image" ? "image/jpeg,image/png" : null,
    required: !spec.nullable && type !== "checkbox",
    maxlength: spec.type === "string" ? spec.max_length : null,
    ...number,
  });
}

const files = new WeakMap();

/** Reads the chosen file as a data URL, which the service accepts as the value of an image. */
function keepFile(control) {
  files.delete(control);
  if (!control.files.length) return;
  const reader = new FileReader();
  reader.addEventListener("load", () => files.set(control, reader.result));
  reader.readAsDataURL(control.files[0]);
}

function write(spec, control, value) {
  if (spec.type === "image") {
    control.value = "";
    files.delete(control);
    return;
  }
  if (control.type === "checkbox") control.checked = value === true;
  else if (spec.shape.length) control.value = (value ?? []).flat(Infinity).join(", ");
  else control.value = value === null || value === undefined ? "" : String(value);
}

function read(spec, control) {
  if (control.type === "checkbox") return control.checked;
  if (spec.type === "image") return files.get(control) ?? null;
  if (spec.shape.length) return nested(numbersOf(control), spec.shape);
  const words = control.value.trim();
  if (words === "") return spec.nullable ? null : "";
  if (spec.type === "string" || spec.type === "datetime") return control.value;
  return Number(words);
}

function numbersOf(control) {
  return control.value
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map(Number);
}

/** A flat list in the shape that the model takes. */
function nested(values, shape) {
  if (shape.length === 1) return values;
  const inner = shape.slice(1).reduce((a, b) => a * b, 1);
  const length = shape[0] < 0 ? values.length / inner : shape[0];
  const size = values.length / length;
  return Array.from({ length }, (_, place) =>
    nested(values.slice(place * size, (place + 1) * size), shape.slice(1)),
  );
}

/** The number of values: of all steps, or of one step of a sequence. */
function sizeOf(spec) {
  return spec.shape.filter((length) => length > 0).reduce((a, b) => a * b, 1);
}

function isSequence(spec) {
  return spec.shape[0] === -1;
}

function listText(spec) {
  return t(isSequence(spec) ? "try.sequence" : "try.list", { n: sizeOf(spec) });
}

function problemOf(spec, control) {
  if (spec.shape.length) {
    const values = numbersOf(control);
    const size = sizeOf(spec);
    const fits = isSequence(spec)
      ? values.length > 0 && values.length % size === 0 && values.length / size <= spec.max_length
      : values.length === size;
    return fits && values.every(Number.isFinite) ? "" : listText(spec);
  }
  return control.validity.valid ? "" : control.validationMessage;
}
