// The list of the files of a torrent: read in pages, brought up to date, and changed.
import { get, patch } from "../api.js";
import { Observable } from "../observable.js";
import { putTorrent } from "../store.js";
import { Tree } from "./tree.js";

const atOnce = 2500; // files that are read or changed at once, so that the page can be used in between
const pauseAtLeast = 2000; // ms between two readings
const pausePerRead = 10; // and this multiple of what the last one took, since a long list costs

export class FileList {
  #path;
  #stop = new AbortController();
  #timer = 0;
  #reading = false;
  #again = false;
  #pause = pauseAtLeast;
  #changes = Promise.resolve(); // the requests that change the files, one after the other
  #pending = 0;
  #edits = 0; // changes so far
  #seen = {};

  constructor(infohash) {
    this.#path = `v1/torrents/${infohash}`;
    this.tree = null;
    this.error = null;
    this.version = new Observable(0); // changes with every change of the tree
  }

  /** see takes notice of a change of the torrent, and reads the files again if theirs may be the reason. */
  see({ have, wanted, name }) {
    const seen = this.#seen;
    if (have === seen.have && wanted === seen.wanted && name === seen.name) return;
    this.#seen = { have, wanted, name };
    this.refresh();
  }

  stop() {
    this.#stop.abort();
    clearTimeout(this.#timer);
  }

  #changed() {
    this.version.set(this.version.value + 1);
  }

  /** refresh reads the files again, soon. */
  refresh() {
    this.#again = true;
    if (!this.#reading && !this.#timer) this.#run();
  }

  async #run() {
    this.#timer = 0;
    if (!this.#again || this.#reading || this.#stop.signal.aborted) return;
    this.#again = false;
    this.#reading = true;
    const began = performance.now();
    try {
      await this.#read();
      this.error = null;
    } catch (e) {
      this.error = e;
      this.#again = true;
    }
    this.#reading = false;
    if (this.#stop.signal.aborted) return;
    this.#pause = Math.max(pauseAtLeast, pausePerRead * (performance.now() - began));
    this.#timer = setTimeout(() => this.#run(), this.#pause);
    this.#changed();
  }

  async #read() {
    const { signal } = this.#stop;
    let fresh = this.tree ? null : new Tree();
    for (let after = 0, more = true; more; ) {
      const edits = this.#edits;
      const page = await get(`${this.#path}/files?limit=${atOnce}&after=${after}`, { signal });
      if (this.#pending > 0 || this.#edits > edits) {
        // What is being changed is shown as it will be.
        this.#again = true;
        return;
      }
      if (!fresh && !this.tree.update(page.files)) {
        fresh = new Tree(this.tree); // from the first page on
        after = 0;
        continue;
      }
      more = page.more && page.files.length > 0;
      after = page.files.at(-1)?.number;
      fresh?.add(page.files, !more);
      if (!fresh) this.#changed();
    }
    if (fresh) this.tree = fresh;
  }

  /** select sets whether files are wanted. It throws if none would be. */
  select(leaves, wanted) {
    const changed = leaves.filter((l) => l.file.selected !== wanted);
    if (!wanted && changed.length === this.tree.root.chosen) throw Object.assign(new Error("At least one file must be selected."), { hint: "To download nothing, pause the torrent." });
    return this.#change(changed, { selected: wanted }, { files: { [wanted ? "want" : "skip"]: changed.map((l) => l.file.number) } });
  }

  /** setPriority sets the priority of files. */
  setPriority(leaves, priority) {
    return this.#change(leaves, { priority }, { priorities: { [priority]: leaves.map((l) => l.file.number) } });
  }

  /** #change shows the files as they will be, and sends the body of the request that makes them so. */
  async #change(leaves, change, body) {
    this.#pending++;
    this.#edits++;
    try {
      for (let i = 0; i < leaves.length; i += atOnce) {
        if (i > 0) await new Promise((done) => setTimeout(done));
        for (const l of leaves.slice(i, i + atOnce)) this.tree.change(l, { ...l.file, ...change });
        this.#changed();
      }
      const request = this.#changes.then(() => patch(this.#path, body));
      this.#changes = request.catch(() => {});
      const torrent = await request;
      this.#seen.wanted = torrent.wanted;
      putTorrent(torrent);
    } catch (e) {
      this.refresh(); // shows what holds
      throw e;
    } finally {
      this.#pending--;
    }
  }
}
