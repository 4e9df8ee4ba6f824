// What links and .torrent files are, before they are added: each is the job of an inspection of the daemon.
import { get, post, remove } from "../api.js";
import { Observable } from "../observable.js";
import { jobs } from "../store.js";

const atOnce = 4; // the daemon runs no more

/** Inspections inspects the items of a dialog, a few at once. changed is notified at each change. */
export class Inspections {
  changed = new Observable(0);
  #known = new Map(); // by item: {number, files, error}
  #waiting = [];
  #stop;

  constructor() {
    this.#stop = jobs.subscribe(() => this.#update());
  }

  /** begin inspects an item: {link} or {torrent}. */
  begin(item) {
    if (this.#known.has(item)) return;
    this.#known.set(item, {});
    this.#waiting.push(item);
    this.#next();
  }

  /** of returns what is known of an item: {job, files, error}; all may be missing. */
  of(item) {
    const known = this.#known.get(item) || {};
    return { ...known, job: jobs.value.get(known.number) };
  }

  /** accept inspects a name again, whose key has changed, and pins the other key. */
  accept(item) {
    this.#known.set(item, { accept: true });
    this.#waiting.push(item);
    this.#next();
  }

  /** end forgets an item and ends the search for its metadata. */
  end(item) {
    const known = this.#known.get(item);
    this.#known.delete(item);
    this.#waiting = this.#waiting.filter((w) => w !== item);
    if (known?.number && jobs.value.get(known.number)?.status === "running") remove(`v1/jobs/${known.number}`).catch(() => {}); // it may have ended
    this.#next();
  }

  /** close ends all. */
  close() {
    this.#waiting = [];
    for (const item of [...this.#known.keys()]) this.end(item);
    this.#stop();
  }

  #isRunning(known) {
    return known.starting || jobs.value.get(known.number)?.status === "running";
  }

  async #next() {
    while (this.#waiting.length && [...this.#known.values()].filter((k) => this.#isRunning(k)).length < atOnce) {
      const item = this.#waiting.shift();
      const known = this.#known.get(item);
      known.starting = true;
      post("v1/inspect", item.link ? { link: item.link, ...(known.accept && { accept_change: true }) } : { torrent: item.torrent })
        .then((job) => {
          known.number = job.number;
          if (!jobs.value.has(job.number)) jobs.value.set(job.number, job);
          if (!this.#known.has(item)) remove(`v1/jobs/${job.number}`).catch(() => {});
        })
        .catch((e) => {
          known.error = e;
        })
        .finally(() => {
          known.starting = false;
          this.#update();
        });
    }
  }

  #update() {
    for (const [item, known] of this.#known) {
      const job = jobs.value.get(known.number);
      if (known.number && !job) { // the daemon was started again
        this.#known.set(item, { files: known.files });
        this.#waiting.push(item);
      }
      if (job?.status === "done" && job.inspection?.has_metadata && !known.files && !known.reading) {
        known.reading = true;
        get(`v1/jobs/${known.number}/files`)
          .then((l) => {
            known.files = l.files;
          })
          .catch((e) => {
            known.error = e;
          })
          .finally(() => this.#tick());
      }
    }
    this.#next();
    this.#tick();
  }

  #tick() {
    this.changed.set(this.changed.value + 1);
  }
}
