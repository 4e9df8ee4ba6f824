// Filters of the list, and how many torrents each has.
import * as format from "../format.js";
import { Observable } from "../observable.js";
import { matches } from "./names.js";
import { hasError } from "./status.js";

/** states is the filters by state. */
export const states = [
  { id: "all", title: "All", has: () => true },
  { id: "active", title: "Active", has: (t) => t.down_rate > 0 || t.up_rate > 0 },
  { id: "downloading", title: "Downloading", has: (t) => t.state === "downloading" || t.state === "metadata" || t.state === "adding" },
  { id: "seeding", title: "Seeding", has: (t) => t.state === "seeding" || t.state === "parked" },
  { id: "waiting", title: "Waiting", has: (t) => t.state === "queued" },
  { id: "busy", title: "Checking, moving", has: (t) => t.state === "checking" || t.state === "moving" },
  { id: "paused", title: "Paused", has: (t) => t.state === "paused" },
  { id: "complete", title: "Complete", has: (t) => t.complete },
  { id: "error", title: "With errors", has: hasError },
];

/** none is the filter that all torrents pass. */
export const none = { state: "all", label: null, category: null, folder: null, search: "" };

/** filter is the filter of the list. It stays while other views are shown. */
export const filter = new Observable(none);

/** passes returns a function that reports whether a torrent passes a filter, or null if all do. */
export function passes(f) {
  const tests = [];
  if (f.state !== "all") tests.push(states.find((s) => s.id === f.state).has);
  if (f.label !== null) tests.push((t) => t.labels.includes(f.label));
  if (f.category !== null) tests.push((t) => t.category === f.category || (t.category || "").startsWith(f.category + "/"));
  if (f.folder !== null) tests.push((t) => t.dir === f.folder);
  if (f.search.trim()) tests.push(matches(f.search));
  return tests.length ? (t) => tests.every((test) => test(t)) : null;
}

/** count returns how many torrents each filter has: {states, labels, categories, folders}, the last three sorted by name. */
export function count(torrents) {
  const byState = states.map(() => 0);
  const [labels, categories, folders] = [new Map(), new Map(), new Map()];
  const add = (map, key) => map.set(key, (map.get(key) || 0) + 1);
  for (const t of torrents) {
    for (let i = 0; i < states.length; i++) if (states[i].has(t)) byState[i]++;
    for (const l of t.labels) add(labels, l);
    for (let c = t.category; c; c = c.slice(0, Math.max(0, c.lastIndexOf("/")))) add(categories, c); // and those that it is in
    add(folders, t.dir);
  }
  const sorted = (map) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return { states: byState, labels: sorted(labels), categories: sorted(categories), folders: sorted(folders) };
}

/** offered returns the filters to choose from, in groups: [title, [{title, count, checked, run}]]. f is the present filter. */
export function offered(counts, f) {
  const set = (change) => filter.set({ ...f, ...change });
  const items = (key, list) =>
    list.map(([name, count]) => ({ title: format.name(name), count, checked: f[key] === name, run: () => set({ [key]: f[key] === name ? null : name }) }));
  const byState = states.map((s, i) => ({
    title: s.title, count: counts.states[i], checked: f.state === s.id, run: () => set(i === 0 ? { ...none, search: f.search } : { state: s.id }),
  }));
  return [
    ["State", byState.filter((s, i) => i === 0 || s.count > 0 || s.checked)],
    ["Categories", items("category", counts.categories)],
    ["Labels", items("label", counts.labels)],
    ["Folders", items("folder", counts.folders.length > 1 || f.folder !== null ? counts.folders : [])],
  ].filter(([, list]) => list.length > 0);
}
