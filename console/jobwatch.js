// A job as it happens: server-sent events, and by polling with ETag where those do not come.

import { ApiError, events, send } from "./http.js";
import { ENDED } from "./jobtexts.js";

const LOOK_EVERY_MS = 2000;
const AGAIN_MS = 1500;

/** Call `draw(job)` with the job now and after each change, until it has ended or `close` is called. */
export function follow(id, draw, failed) {
  const aborting = new AbortController();
  const state = { job: null, etag: null };
  watch(id, state, draw, aborting.signal).catch((error) => aborting.signal.aborted || failed(error));
  const timer = setInterval(() => look(id, state, draw, aborting.signal), LOOK_EVERY_MS);
  return {
    close() {
      clearInterval(timer);
      aborting.abort();
    },
  };
}

/** Follow the events; a stream that breaks is taken up again after its last event. */
async function watch(id, state, draw, signal) {
  let lastId;
  while (!signal.aborted) {
    try {
      for await (const event of events(`/jobs/${id}/events`, { signal, lastId })) {
        lastId = event.id;
        state.job = { ...state.job, ...event.data };
        if (state.job.id) draw(state.job);
        if (event.name === "end") return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) throw error;
    }
    if (state.job && ENDED.has(state.job.state)) return;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** What events leave out (when it ends, why it waits) changes with time: ask, and let nothing new be 304. */
async function look(id, state, draw, signal) {
  if (document.hidden || !state.job || ENDED.has(state.job.state)) return;
  try {
    const answer = await send(`/jobs/${id}`, {
      signal,
      headers: state.job.waiting || !state.etag ? {} : { "If-None-Match": state.etag },
    });
    if (answer.status === 304 || signal.aborted) return;
    state.etag = answer.headers.get("ETag");
    state.job = await answer.json();
    draw(state.job);
  } catch {
    // the events say what is wrong
  }
}
