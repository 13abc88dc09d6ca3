// Jobs page by page: what is loaded, kept current, and in order. It draws nothing.

import { get } from "./http.js";
import { ENDED } from "./jobtexts.js";

const PAGE = 100;
const MOST_LOOKED_AT = 6;

/** The jobs of one request. `changed()` is called when anything of them is other than before. */
export class JobList {
  constructor(wanted, changed) {
    Object.assign(this, {
      wanted,
      changed,
      jobs: [],
      places: new Map(),
      next: null,
      complete: false,
      loading: false,
      error: null,
      closed: false,
    });
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
  }

  /** Load the next page, unless one is on its way or there is none. A page may be empty and not the last. */
  async more() {
    if (this.loading || this.complete || this.closed) return;
    this.loading = true;
    const before = this.jobs.length;
    try {
      while (!this.complete && this.jobs.length === before && !this.closed) {
        const page = await this.page(PAGE, this.next);
        this.next = page.next;
        this.complete = page.next === null;
        this.append(page.jobs);
      }
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    this.loading = false;
    if (!this.closed) this.changed();
  }

  /** Look again: what is new at the top, and those of `visible` that have not ended. */
  async refresh(visible) {
    if (this.loading || this.closed) return;
    try {
      const page = await this.page(PAGE / 2, null);
      const fresh = page.jobs.filter((job) => !this.places.has(job.id));
      this.update(page.jobs);
      if (fresh.length) this.prepend(fresh);
      const top = new Set(page.jobs.map((job) => job.id));
      const others = visible
        .filter((job) => !ENDED.has(job.state) && !top.has(job.id))
        .slice(0, MOST_LOOKED_AT);
      this.update(await Promise.all(others.map((job) => get(`/jobs/${job.id}`).catch(() => job))));
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    if (!this.closed) this.changed();
  }

  /** Put a job that is known better from elsewhere in its place. */
  update(jobs) {
    for (const job of jobs) {
      const place = this.places.get(job.id);
      if (place !== undefined) this.jobs[place] = job;
    }
  }

  page(limit, cursor) {
    const query = new URLSearchParams(this.wanted);
    query.set("limit", limit);
    if (cursor) query.set("cursor", cursor);
    return get(`/jobs?${query}`);
  }

  append(jobs) {
    for (const job of jobs) {
      if (this.places.has(job.id)) continue;
      this.places.set(job.id, this.jobs.length);
      this.jobs.push(job);
    }
  }

  prepend(jobs) {
    this.jobs = [...jobs, ...this.jobs];
    this.places = new Map(this.jobs.map((job, place) => [job.id, place]));
  }

  remove(id) {
    this.jobs = this.jobs.filter((job) => job.id !== id);
    this.places = new Map(this.jobs.map((job, place) => [job.id, place]));
  }
}
