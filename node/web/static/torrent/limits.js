// The limits, the seeding goals and the order of the pieces of torrents.
import { patch } from "../api.js";
import * as format from "../format.js";
import { html, useState } from "../html.js";
import { forAll, path } from "../torrents/requests.js";
import { Dialog, openDialog } from "../ui/dialog.js";

const bySettings = "as in the settings";
const different = "different";

const limit = (n) => (n > 0 ? format.rate(n) : bySettings);
const goal = (n, text) => (n === 0 ? bySettings : n < 0 ? "none" : text(n));

/** limitsOf returns the limits and goals as pairs of a title and a text. */
export const limitsOf = (t) => [
  ["Download limit", limit(t.down_limit)],
  ["Upload limit", limit(t.up_limit)],
  ["Most peers", t.max_peers > 0 ? format.number(t.max_peers) : bySettings],
  ["Stop at a ratio of", goal(t.goals.ratio, (n) => n.toFixed(2))],
  ["Stop after seeding for", goal(t.goals.time_s, format.span)],
  ["Stop without upload for", goal(t.goals.idle_s, format.span)],
  ["Order of the pieces", [t.sequential ? "in sequence" : "rarest first", t.first_last && "first and last of each file early"].filter(Boolean).join(", ")],
];

export const askLimits = (torrents) => openDialog(Limits, { torrents });

// The units of the fields, in the units of the requests.
const kB = 1000;
const minute = 60;

/** Amount is a field for a number in a unit; empty means 0, and null that the torrents differ. */
const Amount = ({ title, unit, value, set, focus }) => html`<label class="field">${title}
  <span class="with-unit"><input type="number" min="0" step="1" inputmode="decimal" placeholder=${value === null ? different : bySettings} data-focus=${focus} value=${value ?? ""} onInput=${(e) => set(e.target.value)} />${unit && html`<span>${unit}</span>`}</span>
</label>`;

/** Goal is a field for a goal, which can be that of the settings, none, or a number; null means that the torrents differ. */
function Goal({ title, unit, value, set, step }) {
  const kind = value === null ? "differ" : value === "" ? "settings" : Number(value) < 0 ? "none" : "own";
  const choose = (e) => set({ settings: "", none: "-1", own: "1" }[e.target.value]);
  return html`<div class="field" role="group" aria-label=${title}>${title}
    <span class="with-unit">
      <select aria-label=${title} value=${kind} onChange=${choose}>
        ${value === null && html`<option value="differ">${different}</option>`}
        <option value="settings">As in the settings</option>
        <option value="none">None</option>
        <option value="own">This value</option>
      </select>
      ${kind === "own" && html`<input type="number" min=${step} step=${step} aria-label=${`${title}${unit && ", in " + unit}`} value=${value} onInput=${(e) => set(e.target.value || "1")} /><span>${unit}</span>`}
    </span>
  </div>`;
}

const Check = ({ title, value, set }) => html`<label class="check"><input type="checkbox" checked=${value} indeterminate=${value === null} onChange=${(e) => set(e.target.checked)} /> ${title}</label>`;

const shown = (n, unit) => (n === 0 ? "" : n < 0 ? "-1" : String(n / unit));
const sent = (text, unit) => (text === "" ? 0 : Number(text) < 0 ? -1 : unit ? Math.round(Number(text) * unit) : Number(text));

const valuesOf = (t) => ({
  down: shown(t.down_limit, kB), up: shown(t.up_limit, kB), peers: shown(t.max_peers, 1),
  ratio: shown(t.goals.ratio, 1), time: shown(t.goals.time_s, minute), idle: shown(t.goals.idle_s, minute),
  sequential: t.sequential, firstLast: t.first_last,
});

function Limits({ close, torrents }) {
  const [values] = useState(() => torrents.map(valuesOf));
  const [changed, setChanged] = useState({}); // only this is sent
  const field = (k) => ({
    value: k in changed ? changed[k] : values.every((v) => v[k] === values[0][k]) ? values[0][k] : null,
    set: (value) => setChanged((old) => ({ ...old, [k]: value })),
  });
  const number = (k, unit) => (k in changed ? sent(changed[k], unit) : undefined);
  const submit = () => {
    const change = {
      down_limit: number("down", kB), up_limit: number("up", kB), max_peers: number("peers", 1),
      goals: { ratio: number("ratio"), time_s: number("time", minute), idle_s: number("idle", minute) },
      sequential: changed.sequential, first_last: changed.firstLast,
    };
    return forAll(torrents, "Change", (t) => patch(path(t), change));
  };
  const of = torrents.length > 1 ? ` of ${format.plural(torrents.length, "torrent")}` : "";
  return html`<${Dialog} title=${"Limits and goals" + of} close=${close} action="Save" submit=${submit}>
    <div class="fields">
      <${Amount} title="Download limit" unit="kB/s" ...${field("down")} focus />
      <${Amount} title="Upload limit" unit="kB/s" ...${field("up")} />
      <${Amount} title="Most connected peers" ...${field("peers")} />
    </div>
    <p class="muted">Seeding stops at the first of these goals that is reached.</p>
    <div class="fields">
      <${Goal} title="Ratio" unit="" step="0.05" ...${field("ratio")} />
      <${Goal} title="Seeding for" unit="min" step="1" ...${field("time")} />
      <${Goal} title="Without upload for" unit="min" step="1" ...${field("idle")} />
    </div>
    <${Check} title="Request the pieces in sequence" ...${field("sequential")} />
    <${Check} title="Request the first and last pieces of every file first" ...${field("firstLast")} />
  </${Dialog}>`;
}
