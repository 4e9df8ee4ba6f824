// What a torrent does, why it does not move, and everything that is known about it.
import * as format from "../format.js";
import { html } from "../html.js";
import { href } from "../router.js";
import { may } from "../session.js";
import { actions, canRun, run } from "../torrents/actions.js";
import { share, tone } from "../torrents/status.js";
import { CopyButton } from "../ui/copy.js";
import { explain } from "./explain.js";
import { askLimits, limitsOf } from "./limits.js";
import { Steps } from "./steps.js";

const actionOf = (id) => actions.find((a) => a?.id === id);

export const Overview = ({ torrent: t }) => html`<div class="overview">
  <${Status} torrent=${t} />
  <${Progress} torrent=${t} />
  <div class="overview-grid">
    <section class="overview-wide"><h3>Steps</h3><${Steps} torrent=${t} /></section>
    <section><h3>Transfer</h3><${Facts} of=${transfer(t)} /></section>
    <section><h3>Times</h3><${Facts} of=${times(t)} /></section>
    <section class="overview-wide"><h3>Torrent</h3><${Facts} of=${about(t)} /></section>
    <section>
      <h3>Limits and goals</h3>
      <${Facts} of=${limitsOf(t)} />
      ${may("add") && html`<button onClick=${() => askLimits([t])}>Change…</button>`}
    </section>
  </div>
</div>`;

/** Status is the one line, with the button that helps. */
function Status({ torrent: t }) {
  const e = explain(t);
  const helps = actionOf(e.action);
  return html`<div class=${"status status-" + e.tone}>
    <p><b>${e.word}</b> <span>${format.name(e.text)}</span>${e.hint && html` <span class="status-hint">${format.name(e.hint)}</span>`}</p>
    ${helps && canRun(helps, 1) && html`<button onClick=${() => run(helps, [t])}>${helps.title}</button>`}
    ${e.action === "doctor" && may("add") && html`<a href=${href("doctor")}>Open Doctor</a>`}
  </div>`;
}

function Progress({ torrent: t }) {
  const done = share(t);
  const what = t.state === "checking" && t.to_check ? `${format.size(t.checked || 0)} of ${format.size(t.to_check)} checked` : t.size > 0 ? `${format.size(t.have)} of ${format.size(t.wanted)}` : "the size is not known yet";
  const rest = t.size > t.wanted ? `; ${format.size(t.size - t.wanted)} not wanted` : "";
  return html`<div class="progress">
    <span class=${"bar bar-" + tone(t)} role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.floor(done * 100)}><span style=${{ transform: `scaleX(${done})` }}></span></span>
    <b>${format.percent(done)}</b><span class="muted">${what}${rest}</span>
  </div>`;
}

/** Facts is a list of pairs; a pair without a value is left out. */
const Facts = ({ of }) => html`<dl class="facts">${of.filter(([, v]) => v !== "" && v !== undefined && v !== null).map(([k, v]) => html`<div><dt>${k}</dt><dd>${v}</dd></div>`)}</dl>`;

const transfer = (t) => [
  ["Receiving", format.rate(t.down_rate)],
  ["Sending", format.rate(t.up_rate)],
  ["Time left", t.complete ? "" : t.left_s === undefined ? "unknown" : format.span(t.left_s)],
  ["Received", format.size(t.downloaded)],
  ["Sent", format.size(t.uploaded)],
  ["Ratio", t.ratio.toFixed(2)],
  ["Discarded", format.size(t.wasted)],
  ["Peers", `${format.number(t.peers)} connected, ${format.plural(t.seeds, "seed")}`],
];

const times = (t) => [
  ["Added", format.date(t.added)],
  ["Completed", t.completed ? format.date(t.completed) : "not yet"],
  ["Last activity", t.active ? format.date(t.active) : "none yet"],
  ["Downloading for", format.span(t.downloading_s)],
  ["Seeding for", format.span(t.seeding_s)],
  ["Place in the queue", t.place ? format.number(t.place) : ""],
];

const about = (t) => [
  ["Folder", html`<span class="fact-text">${format.name(t.dir)}</span>`],
  ["Moves to", t.move_to && format.name(t.move_to)],
  ["Once complete, in", t.final_dir && format.name(t.final_dir)],
  ["Labels", html`<${Labels} torrent=${t} />`],
  ["Category", t.category ? format.name(t.category) : "none"],
  ...hashes(t.magnet).map(([version, hash]) => [`Infohash ${version}`, html`<${Copied} text=${hash} what=${`infohash (${version})`} />`]),
  ["Link", html`<${Copied} text=${t.magnet} what="magnet link" />`],
];

function Labels({ torrent: t }) {
  return html`${t.labels.length ? t.labels.map((l) => html`<span class="label">${format.name(l)}</span>`) : "none "}
    ${may("add") && html`<button class="quiet" onClick=${() => run(actionOf("labels"), [t])}>Edit<span class="hidden"> the labels and the category</span></button>`}`;
}

/** hashes returns the infohashes in a magnet link, each with its version. */
function hashes(magnet) {
  return [...new URLSearchParams(magnet.slice(magnet.indexOf("?") + 1))].flatMap(([key, xt]) => {
    if (!/^xt(\.\d+)?$/.test(key)) return []; // two infohashes are xt and xt.2, or xt.1 and xt.2
    if (xt.startsWith("urn:btih:")) return [["v1", xt.slice(9)]];
    if (xt.startsWith("urn:btmh:1220")) return [["v2", xt.slice(13)]];
    return [];
  });
}

/** Copied is a text with a button that copies it. */
const Copied = ({ text, what }) => html`<span class="copied">
  <code class="cut" title=${text.length > 200 ? undefined : text}>${text.slice(0, 400)}</code>
  <${CopyButton} text=${text} what=${`the ${what}`} />
</span>`;
