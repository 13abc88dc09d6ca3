// The choice of a file: by a dialog, or dropped. The browser's own input is hidden, because it is in the browser's
// language; its labels are in that of the page.

import { h, text } from "./dom.js";
import { t } from "./words.js";

/** `chosen(file)` is called with each choice, or null. */
export function dropZone(chosen) {
  const input = h("input", {
    id: "file",
    type: "file",
    class: "hidden-text",
    required: true,
    "aria-describedby": "file-kinds",
    accept: ".csv,.txt,.ndjson,.jsonl,.parquet,.arrow,.feather,.arrows,.gz,.zst",
  });
  const name = h("span", { class: "small", role: "status" }, t("submit.no_file"));
  const choose = (file) => (text(name, file?.name ?? t("submit.no_file")), chosen(file));
  input.addEventListener("change", () => choose(input.files[0] ?? null));
  const node = h(
    "div",
    { class: "drop" },
    h("label", { for: "file", class: "big" }, t("submit.drop")),
    h("span", { class: "muted small", id: "file-kinds" }, t("submit.kinds")),
    h("label", { for: "file", class: "choose" }, t("submit.choose")),
    name,
    input,
  );
  const over = (event) => {
    event.preventDefault();
    node.classList.toggle("over", event.type === "dragover");
  };
  node.addEventListener("dragover", over);
  node.addEventListener("dragleave", over);
  node.addEventListener("drop", (event) => {
    over(event);
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    choose(input.files[0]);
  });
  return { node, focus: () => input.focus() };
}
