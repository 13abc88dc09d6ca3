// A job's results, failed rows and manifest as files.

import { h, text } from "./dom.js";
import { send } from "./http.js";
import { reasonOf } from "./panels.js";
import { key } from "./session.js";
import { ENDED } from "./jobtexts.js";
import { t } from "./words.js";

const RESULTS = ["csv", "json", "ndjson", "parquet", "arrow"];
const ERRORS = ["csv", "json", "ndjson"];

export function downloads({ id }) {
  const state = h("p", { class: "small muted", role: "status" });
  const label = h("h3");
  const results = h("div", { class: "downloads" });
  const errors = h("div", { class: "downloads" });
  const manifest = h(
    "div",
    { class: "downloads" },
    link(state, t("job.manifest"), `/jobs/${id}/manifest`, `${id}-manifest.json`, "json"),
  );
  const errorsLabel = h("h3", {}, t("job.errors"));
  let partial = null;
  const draw = (job) => {
    const whole = job.state === "succeeded";
    if (partial !== !whole) {
      partial = !whole;
      text(label, whole ? t("job.results") : t("job.partial"));
      results.replaceChildren(
        ...RESULTS.map((format) =>
          link(
            state,
            format,
            `/jobs/${id}/results?format=${format}${whole ? "" : "&partial=true"}`,
            `${id}.${format}`,
            format,
            label.textContent,
          ),
        ),
      );
    }
    if (!errors.childElementCount)
      errors.replaceChildren(
        ...ERRORS.map((format) =>
          link(
            state,
            format,
            `/jobs/${id}/errors?format=${format}`,
            `${id}-errors.${format}`,
            format,
            t("job.errors"),
          ),
        ),
      );
    for (const part of [errors, errorsLabel]) part.hidden = !job.rows_failed;
    manifest.hidden = !ENDED.has(job.state);
  };
  return { node: h("div", { class: "stack" }, label, results, errorsLabel, errors, manifest, state), draw };
}

/** A plain link streams to the disk; with a key it must be fetched, for a link cannot bear one. */
function link(state, words, href, name, format, what = words) {
  const label = what === words ? words : t("job.formats", { what, format: format.toUpperCase() });
  const anchor = h(
    "a",
    { href, download: name, "aria-label": label },
    what === words ? words : format.toUpperCase(),
  );
  anchor.addEventListener("click", (event) => {
    if (!key()) return;
    event.preventDefault();
    save(href, name, state);
  });
  return anchor;
}

async function save(href, name, state) {
  text(state, t("job.saving"));
  try {
    const whole = await (await send(href)).blob();
    const url = URL.createObjectURL(whole);
    h("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    text(state, "");
  } catch (error) {
    text(state, reasonOf(error));
  }
}
