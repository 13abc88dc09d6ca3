// How old the shown data is. Verdict, workers and jobs depend on it: old data must not look like live data.

import { feeds, redraw } from "./feeds.js";

export const OLD_S = 4;
const LOOK_EVERY_MS = 500;
let seenSince = Date.now();

document.addEventListener("visibilitychange", () => {
  seenSince = Date.now(); // nothing is asked for while the page is hidden
});

/** Seconds since the gateway last answered with its status; null: it has not yet. */
export function statusAge() {
  return feeds.status.at ? (Date.now() - feeds.status.at) / 1000 : null;
}

/** Seconds for which this page has been visible. */
export function visibleFor() {
  return (Date.now() - seenSince) / 1000;
}

/** Whether the gateway has stopped answering. */
export function isLost() {
  const age = statusAge();
  return (age === null || age > OLD_S) && visibleFor() > OLD_S && feeds.status.watchers.size > 0;
}

/** The condition that Redis is down: workers, queues and jobs are as of its beginning. */
export function redisDown() {
  return feeds.status.value?.conditions.find(({ code }) => code === "redis_down") ?? null;
}

/** Whether workers, queues and jobs may have changed since. */
export function isOld() {
  return !refused() && (isLost() || redisDown() !== null);
}

/** Whether the key may not read the status. */
export function refused() {
  return [401, 403].includes(feeds.status.error?.status);
}

/** Call `draw` twice a second, and mark the page while its data is old. */
export function watchFreshness(draw) {
  setInterval(() => {
    const old = isOld();
    if (old !== "old" in document.body.dataset) {
      if (old) document.body.dataset.old = "";
      else delete document.body.dataset.old;
      redraw();
    }
    draw();
  }, LOOK_EVERY_MS);
}
