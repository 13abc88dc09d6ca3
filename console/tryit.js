// A form made from a model's spec: one row in, its answer out.

import { h, put, say, text } from "./dom.js";
import { milliseconds, NONE } from "./format.js";
import { ApiError, exactly, send } from "./http.js";
import { inputField } from "./inputfield.js";
import { panel, reasonOf } from "./panels.js";
import { t } from "./words.js";

export function tryIt(model) {
  const inputs = model.inputs.map((spec, place) =>
    inputField(spec, model.example[spec.name], place),
  );
  const answer = h(
    "div",
    { class: "stack answers" },
    h("p", { class: "muted" }, t("try.empty")),
  );
  const button = h("button", { class: "primary", type: "submit" }, t("try.predict"));
  const reset = h(
    "button",
    { type: "button", onclick: () => inputs.forEach((input) => input.reset()) },
    t("try.reset"),
  );
  const predict = async (event) => {
    event.preventDefault();
    const wrong = inputs.filter((input) => !input.check());
    if (wrong.length) return void wrong[0].focus();
    button.disabled = true;
    await ask(model, inputs, answer);
    button.disabled = false;
  };
  const form = h(
    "form",
    { class: "stack", onsubmit: predict, novalidate: true, "aria-label": t("try.title") },
    h(
      "div",
      { class: "fields" },
      inputs.map((input) => input.node),
    ),
    h("div", { class: "actions" }, button, reset),
  );
  return panel(
    t("try.title"),
    null,
    h(
      "div",
      { class: "body trial" },
      form,
      h("div", { class: "stack" }, h("h3", {}, t("try.answer")), answer),
    ),
  );
}

async function ask(model, inputs, answer) {
  const row = Object.fromEntries(inputs.map((input) => [input.name, input.value()]));
  const path = `/models/${encodeURIComponent(model.name)}/versions/${encodeURIComponent(model.version)}/predict`;
  const began = performance.now();
  try {
    const response = await send(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(row),
    });
    const found = exactly(await response.text());
    show(answer, model, found, performance.now() - began, response.headers.get("Server-Timing"));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    for (const problem of Array.isArray(error.detail) ? error.detail : [])
      inputs.find((input) => input.name === problem.field)?.refuse(problem.msg);
    put(
      answer,
      h(
        "p",
        { class: "note", data: { tone: "bad" } },
        error.status === 422 ? t("try.invalid") : "",
        " ",
        reasonOf(error),
      ),
    );
  }
}

function show(answer, model, found, tookMs, timing) {
  const facts = Object.entries(found).map(([name, value]) => [
    h("dt", { class: "mono" }, name),
    h("dd", {}, valueOf(name, value, model)),
  ]);
  const gateway = [...(timing ?? "").matchAll(/dur=([\d.]+)/g)].reduce(
    (sum, match) => sum + Number(match[1]),
    0,
  );
  put(
    answer,
    h("dl", { class: "facts" }, facts.flat()),
    h(
      "p",
      { class: "small muted" },
      t("try.took", { ms: milliseconds(tookMs), gateway: milliseconds(gateway) }),
    ),
  );
  say(
    `${t("try.answer")}: ${Object.entries(found)
      .map(([name, value]) => `${name} ${shown(value)}`)
      .join(", ")}`,
  );
}

/** A value as text: `–` if it is missing, lists in brackets, texts within a list in quotes. */
function shown(value) {
  if (value === null) return NONE;
  if (!Array.isArray(value)) return String(value);
  const items = value.map((item) => (typeof item === "string" ? JSON.stringify(item) : shown(item)));
  return `[${items.join(", ")}]`;
}

/** Probabilities get a bar each; other values are text. */
function valueOf(name, value, model) {
  const output = model.outputs.find((one) => one.name === name);
  if (output?.view === "probabilities" && Array.isArray(value))
    return h("div", { class: "bars" }, value.map(probability));
  const whole = h("span", {
    class: output?.view === "label" || output?.view === "class_index" ? "big" : "answer",
  });
  text(whole, shown(value));
  return whole;
}

function probability(value, place) {
  const bar = h("i");
  bar.style.setProperty("width", `${100 * value}%`);
  return h(
    "div",
    {},
    h("span", { class: "muted" }, `#${place}`),
    h("span", { class: "meter", "aria-hidden": "true" }, bar),
    h("span", { class: "number" }, String(value)),
  );
}
