// The torrents that the list shows, in their order. A change costs one pass over a list that is nearly sorted.
import { torrents } from "../store.js";
import { columns } from "./columns.js";

export class Order {
  #sorted = []; // infohashes of all torrents
  #known = new Set();

  /** update returns the torrents that pass, sorted by a column. */
  update({ sort, down }, passes) {
    for (const hash of torrents.keys()) {
      if (this.#known.has(hash)) continue;
      this.#known.add(hash);
      this.#sorted.push(hash);
    }
    if (this.#known.size > torrents.size) {
      this.#sorted = this.#sorted.filter((hash) => torrents.has(hash));
      this.#known = new Set(this.#sorted);
    }
    const value = columns.find((c) => c.id === sort).value;
    const sign = down ? -1 : 1;
    // The keys are made once, not at each comparison. Equal ones are in the order of their numbers, so that nothing jumps.
    const keyed = this.#sorted.map((hash) => {
      const t = torrents.get(hash);
      return { t, key: value(t) };
    });
    keyed.sort((a, b) => (a.key < b.key ? -sign : a.key > b.key ? sign : (a.t.number - b.t.number) * sign));
    this.#sorted = keyed.map((k) => k.t.infohash);
    const all = keyed.map((k) => k.t);
    return passes ? all.filter(passes) : all;
  }
}
