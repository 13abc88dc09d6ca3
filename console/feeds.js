// What several parts of the page look at: each is asked for once, for all who watch, and only while somebody does.

import { get } from "./http.js";

export const ACTIVE = "state=uploading&state=queued&state=running&state=paused&state=canceling";

const listeners = new Set();
let reachable = { ok: true, at: Date.now() };

/** Call `listener` with whether the gateway answers, whenever that changes. */
export function onReachable(listener) {
  listeners.add(listener);
  listener(reachable);
}

function judge(error) {
  const ok = !error || error.status > 0;
  const changed = ok !== reachable.ok;
  reachable = { ok, at: ok ? Date.now() : reachable.at };
  if (changed || !ok) for (const listener of listeners) listener(reachable);
}

/** Readiness says "not ready" by a 503, which is an answer like any other. */
async function readiness() {
  try {
    return await get("/health/ready");
  } catch (error) {
    if (error.told?.status === "not_ready") return error.told;
    throw error;
  }
}

class Feed {
  constructor(load, everyMs) {
    Object.assign(this, {
      load,
      everyMs,
      value: null,
      error: null,
      watchers: new Set(),
      timer: 0,
      asking: false,
    });
  }

  /** Call `watcher(value, error)` now, where there is a value, and after each answer. → how to stop. */
  watch(watcher) {
    this.watchers.add(watcher);
    if (this.value || this.error) watcher(this.value, this.error);
    this.ask();
    return () => this.watchers.delete(watcher);
  }

  /** Ask at once rather than at the next turn: something was done here that will show. */
  async ask() {
    clearTimeout(this.timer);
    if (this.asking || !this.watchers.size) return;
    if (document.hidden && this.value) return this.rest();
    this.asking = true;
    try {
      this.value = await this.load();
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    this.asking = false;
    judge(this.error);
    for (const watcher of this.watchers) watcher(this.value, this.error);
    this.rest();
  }

  rest() {
    this.timer = setTimeout(() => this.ask(), this.error ? Math.max(this.everyMs, 3000) : this.everyMs);
  }
}

export const feeds = {
  ready: new Feed(readiness, 3000),
  workers: new Feed(() => get("/workers"), 2000),
  lanes: new Feed(() => get("/lanes"), 2000),
  history: new Feed(() => get("/history"), 10000),
  models: new Feed(() => get("/models"), 15000),
  active: new Feed(() => get(`/jobs?${ACTIVE}&limit=12`), 2000),
};

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) for (const feed of Object.values(feeds)) feed.ask();
});

/** Ask again for everything that is watched: the key has changed. */
export function refresh() {
  for (const feed of Object.values(feeds)) {
    feed.value = null;
    feed.ask();
  }
}
