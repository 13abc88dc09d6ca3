// The timeline of a job: its events, with their times and callers.

import { h, put, text } from "./dom.js";
import { clock, duration, number } from "./format.js";
import { get } from "./http.js";
import { ENDED } from "./jobtexts.js";
import { failureText } from "./panels.js";
import { known, reasonText, t } from "./words.js";

const AGAIN_MS = 5000;
const ANONYMOUS = "anonymous";

export function jobTimeline({ id }) {
  const title = h("h3", { id: "timeline-title" }, t("job.timeline"));
  const note = h("p", { class: "small muted" });
  const list = h("ol", { class: "timeline", "aria-labelledby": "timeline-title" });
  let shown = null;
  let askedAt = 0;
  const load = async () => {
    const { events, omitted } = await get(`/jobs/${id}/timeline`);
    put(list, events.map(line));
    text(note, omitted ? t("job.timeline.omitted", { n: number(omitted) }) : "");
  };
  return {
    node: h("div", { class: "stack" }, title, list, note),
    /** Requests it again after a change, and every few seconds until the job has ended. */
    draw(job) {
      const key = JSON.stringify([job.state, job.priority, job.webhook?.attempts.length]);
      const due = !ENDED.has(job.state) && Date.now() - askedAt > AGAIN_MS;
      if (key === shown && !due) return;
      shown = key;
      askedAt = Date.now();
      load().catch((error) => {
        shown = null;
        text(note, failureText(error));
      });
    },
  };
}

function line(event) {
  const by = event.by && event.by !== ANONYMOUS ? t("job.timeline.by", { name: event.by }) : "";
  const reason = event.event === "webhook_attempt" ? "" : reasonOf(event);
  return h(
    "li",
    {},
    h("time", { class: "small muted number", datetime: event.at }, clock(event.at)),
    h("span", {}, [words(event), by].filter(Boolean).join(" · "), reason && h("div", { class: "small muted" }, reason)),
  );
}

/** The text of an event; the name of an event of a newer version. */
function words(event) {
  const key = `timeline.${event.event}`;
  if (!known(key)) return event.event.replaceAll("_", " ");
  const answer = event.status ?? t("job.webhook.no_answer", { reason: event.reason });
  const counts = ["rows", "chunks_ended", "chunks_total", "attempt"].map((name) => [name, number(event[name])]);
  const waited = duration(event.waited_s);
  return t(key, { ...event, ...Object.fromEntries(counts), waited, answer });
}

/** The reason of a failure. The reason of a failed job begins with its error code. */
function reasonOf({ event, reason = "" }) {
  const found = event === "failed" && reason.match(/^(\w+): (.*)$/s);
  return found ? reasonText(found[1], found[2]) : reason;
}
