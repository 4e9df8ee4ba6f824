// The columns of the list: what they show, and by what they sort.
import { Observable } from "../observable.js";
import * as format from "../format.js";
import { html } from "../html.js";
import { nameKey } from "./names.js";
import { hasError, share, tone, why, word } from "./status.js";

const bar = (t) => html`<span class=${"bar bar-" + tone(t)}><span style=${{ transform: `scaleX(${share(t)})` }}></span></span>`;
const last = Number.MAX_SAFE_INTEGER;
const rateOf = (n) => (n > 0 ? format.rate(n) : "");
const stateOrder = ["failed", "missing", "downloading", "metadata", "checking", "moving", "adding", "seeding", "parked", "queued", "paused", "removing"];

/** columns is all columns. width is in pixels, or a template of CSS; isText columns sort upwards first. */
export const columns = [
  { id: "name", title: "Name", width: "minmax(200px, 1fr)", isText: true, fixed: true, value: nameKey, cell: (t) => html`<span class="name" title=${format.name(t.name)}>${format.name(t.name)}</span>` },
  { id: "size", title: "Size", width: 72, end: true, value: (t) => t.wanted || t.size, cell: (t) => (t.size ? format.size(t.wanted || t.size) : "") },
  {
    id: "done",
    title: "Done",
    width: 100,
    value: share,
    cell: (t) => html`<span class="done">${bar(t)}<span class="number">${t.size ? format.percent(share(t)) : ""}</span></span>`,
  },
  {
    id: "state",
    title: "State",
    width: "minmax(130px, 0.7fr)",
    isText: true,
    value: (t) => (hasError(t) ? 0 : 1 + stateOrder.indexOf(t.state)),
    cell: (t) => {
      const reason = why(t);
      return html`<span class=${"state tone-" + tone(t)} title=${reason}><b>${word(t)}</b>${reason && html`<span class="why"> ${format.name(reason)}</span>`}</span>`;
    },
  },
  { id: "down", title: "Down", width: 84, end: true, value: (t) => t.down_rate, cell: (t) => rateOf(t.down_rate) },
  { id: "up", title: "Up", width: 84, end: true, value: (t) => t.up_rate, cell: (t) => rateOf(t.up_rate) },
  { id: "left", title: "Time left", width: 78, end: true, isText: true, value: (t) => t.left_s ?? last, cell: (t) => (t.left_s === undefined ? "" : format.span(t.left_s)) },
  { id: "peers", title: "Peers", width: 66, end: true, value: (t) => t.peers, cell: (t) => (t.peers ? `${t.peers} (${t.seeds})` : "") },
  { id: "ratio", title: "Ratio", width: 54, end: true, value: (t) => t.ratio, cell: (t) => (t.ratio ? t.ratio.toFixed(2) : "") },
  { id: "uploaded", title: "Uploaded", width: 84, end: true, hidden: true, value: (t) => t.uploaded, cell: (t) => format.size(t.uploaded) },
  { id: "downloaded", title: "Downloaded", width: 92, end: true, hidden: true, value: (t) => t.downloaded, cell: (t) => format.size(t.downloaded) },
  { id: "place", title: "Queue", width: 64, end: true, isText: true, hidden: true, value: (t) => t.place || last, cell: (t) => t.place || "" },
  { id: "labels", title: "Labels", width: 130, isText: true, hidden: true, value: (t) => t.labels.join(" "), cell: (t) => t.labels.map((l) => html`<span class="label">${format.name(l)}</span>`) },
  { id: "category", title: "Category", width: 110, isText: true, hidden: true, value: (t) => t.category || "", cell: (t) => format.name(t.category || "") },
  { id: "folder", title: "Folder", width: 180, isText: true, hidden: true, value: (t) => t.dir, cell: (t) => html`<span title=${t.dir}>${format.name(t.dir)}</span>` },
  { id: "added", title: "Added", width: 150, hidden: true, value: (t) => t.added || "", cell: (t) => format.date(t.added) },
  { id: "completed", title: "Completed", width: 150, hidden: true, value: (t) => t.completed || "", cell: (t) => format.date(t.completed) },
  { id: "active", title: "Last active", width: 110, hidden: true, value: (t) => t.active || "", cell: (t) => format.ago(t.active) },
];

const where = "seedbed.list"; // in the local storage

function load() {
  const first = { columns: columns.filter((c) => !c.hidden).map((c) => c.id), sort: "added", down: true };
  try {
    const saved = JSON.parse(localStorage.getItem(where));
    const chosen = columns.filter((c) => c.fixed || saved.columns.includes(c.id)).map((c) => c.id);
    return { columns: chosen, sort: columns.some((c) => c.id === saved.sort) ? saved.sort : first.sort, down: Boolean(saved.down) };
  } catch {
    return first;
  }
}

/** layout is the chosen columns and the order of the list; it is kept in the browser. */
export const layout = new Observable(load());
layout.subscribe((l) => {
  try {
    localStorage.setItem(where, JSON.stringify(l));
  } catch {
    // without storage it is as it was at the next visit
  }
});

/** toggle shows or hides a column. */
export function toggle(id) {
  const l = layout.value;
  const shown = l.columns.includes(id);
  layout.set({ ...l, columns: columns.map((c) => c.id).filter((c) => (c === id ? !shown : l.columns.includes(c))) });
}

/** sortBy sorts by a column; again, in the other direction. */
export function sortBy(id) {
  const l = layout.value;
  const c = columns.find((x) => x.id === id);
  layout.set({ ...l, sort: id, down: l.sort === id ? !l.down : !c.isText });
}
