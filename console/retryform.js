// The version and the priority with which an ended job runs again.

import { h } from "./dom.js";
import { get } from "./http.js";
import { t } from "./words.js";

/** `node` to show, `draw(job)`, and `chosen()`: the options of `POST /jobs/{id}/retry` that differ from the job's. */
export function retryForm() {
  let shown = null;
  const version = h("select", { id: "retry-version" });
  const priority = h("input", { id: "retry-priority", type: "number", min: 0, max: 9, step: 1, required: true });
  const node = h(
    "form",
    { class: "actions", hidden: true, onsubmit: (event) => event.preventDefault() },
    h("label", { for: "retry-version" }, t("job.retry.version")),
    version,
    h("label", { for: "retry-priority" }, t("job.retry.priority")),
    priority,
  );
  const offer = (versions) => version.replaceChildren(...versions.map((one) => h("option", { value: one }, one)));
  const load = async (job) => {
    const model = await get(`/models/${encodeURIComponent(job.model)}`).catch(() => null); // deleted, or not permitted
    const chosen = version.value;
    offer([...new Set([job.version, ...(model?.versions ?? [])])]);
    version.value = chosen;
  };
  return {
    node,
    draw(job, isOffered) {
      node.hidden = !isOffered;
      if (!isOffered || shown) return;
      shown = job;
      offer([job.version]);
      priority.value = job.priority;
      load(job);
    },
    chosen() {
      const options = {};
      if (shown && version.value !== shown.version) options.version = version.value;
      if (shown && Number(priority.value) !== shown.priority) options.priority = Number(priority.value);
      return options;
    },
  };
}
