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

class Feed {
  constructor(load, everyMs) {
    Object.assign(this, {
      load,
      everyMs,
      value: null,
      error: null,
      at: 0, // when the value came
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
      this.at = Date.now();
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    this.asking = false;
    judge(this.error);
    this.tell();
    this.rest();
  }

  /** Make every subscriber draw again. */
  tell() {
    for (const watcher of this.watchers) watcher(this.value, this.error);
  }

  rest() {
    this.timer = setTimeout(() => this.ask(), this.error ? Math.max(this.everyMs, 2000) : this.everyMs);
  }
}

export const feeds = {
  status: new Feed(() => get("/status"), 1000),
  workers: new Feed(() => get("/workers"), 2000),
  lanes: new Feed(() => get("/lanes"), 2000),
  history: new Feed(() => get("/history"), 10000),
  hours: new Feed(() => get("/history/hours"), 60000),
  models: new Feed(() => get("/models"), 15000),
  active: new Feed(() => get(`/jobs?${ACTIVE}&limit=12`), 2000),
};

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) for (const feed of Object.values(feeds)) feed.ask();
});

/** Draw everything again: the same data means something else now. */
export function redraw() {
  for (const feed of Object.values(feeds)) if (feed.value || feed.error) feed.tell();
}

/** Ask again for everything that is watched: the key has changed. */
export function refresh() {
  for (const feed of Object.values(feeds)) {
    Object.assign(feed, { value: null, error: null, at: 0 });
    feed.ask();
  }
}
