// Where a file is chosen: an input as every browser has it, that also takes what is dropped around it.

import { h } from "./dom.js";
import { t } from "./words.js";

/** `chosen(file)` is called with each choice, or null. */
export function dropZone(chosen) {
  const input = h("input", {
    id: "file",
    type: "file",
    required: true,
    "aria-describedby": "file-kinds",
    accept: ".csv,.txt,.ndjson,.jsonl,.parquet,.arrow,.feather,.arrows,.gz,.zst",
  });
  input.addEventListener("change", () => chosen(input.files[0] ?? null));
  const node = h(
    "div",
    { class: "drop" },
    h("label", { for: "file", class: "big" }, t("submit.drop")),
    h("span", { class: "muted small", id: "file-kinds" }, t("submit.kinds")),
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
    chosen(input.files[0]);
  });
  return { node, focus: () => input.focus() };
}
