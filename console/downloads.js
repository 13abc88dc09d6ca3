// A job's results, failed rows and manifest as files.

import { h, text } from "./dom.js";
import { post } from "./http.js";
import { reasonOf } from "./panels.js";
import { credentials } from "./session.js";
import { ENDED } from "./jobtexts.js";
import { t } from "./words.js";

const RESULTS = ["csv", "json", "ndjson", "parquet", "arrow"];
const ERRORS = ["csv", "json", "ndjson"];

export function downloads({ id }) {
  const state = h("p", { class: "small muted", role: "status" });
  const label = h("h3");
  const results = h("div", { class: "downloads" });
  const errors = h("div", { class: "downloads" });
  const input = h(
    "div",
    { class: "downloads" },
    RESULTS.map((format) =>
      link(state, id, { part: "input", format }, t("job.input"), `${id}-input.${format}`),
    ),
  );
  const inputLabel = h("h3", {}, t("job.input"));
  const manifest = h(
    "div",
    { class: "downloads" },
    link(state, id, { part: "manifest" }, t("job.manifest"), `${id}-manifest.json`),
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
          link(state, id, { part: "results", format, partial: !whole }, label.textContent, `${id}.${format}`),
        ),
      );
    }
    if (!errors.childElementCount)
      errors.replaceChildren(
        ...ERRORS.map((format) =>
          link(state, id, { part: "errors", format }, t("job.errors"), `${id}-errors.${format}`),
        ),
      );
    for (const part of [errors, errorsLabel]) part.hidden = !job.rows_failed;
    manifest.hidden = !ENDED.has(job.state);
  };
  return { node: h("div", { class: "stack" }, label, results, errorsLabel, errors, inputLabel, input, manifest, state), draw };
}

/** A link streams to the disk. With a key or a session it is signed first, because a link sends no header. */
function link(state, id, wanted, what, name) {
  const { part, format, partial } = wanted;
  const query = String(new URLSearchParams({ ...(format && { format }), ...(partial && { partial }) }));
  const href = `/jobs/${id}/${part}${query && `?${query}`}`;
  const label = format ? t("job.formats", { what, format: nameOf(format) }) : what;
  const anchor = h("a", { href, download: name, "aria-label": label }, format ? nameOf(format) : what);
  anchor.addEventListener("click", (event) => {
    if (!Object.keys(credentials()).length) return;
    event.preventDefault();
    save(id, wanted, name, state);
  });
  return anchor;
}

/** The usual spelling of a format: CSV, Parquet. */
function nameOf(format) {
  return ["parquet", "arrow"].includes(format) ? format[0].toUpperCase() + format.slice(1) : format.toUpperCase();
}

async function save(id, wanted, name, state) {
  text(state, t("job.saving"));
  try {
    const { url } = await post(`/jobs/${id}/links`, wanted);
    h("a", { href: url, download: name }).click();
    text(state, "");
  } catch (error) {
    text(state, reasonOf(error));
  }
}
