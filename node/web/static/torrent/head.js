// The name of a torrent with its actions.
import * as format from "../format.js";
import { html } from "../html.js";
import { actions, canRun, menu, run } from "../torrents/actions.js";
import { tone, word } from "../torrents/status.js";
import { Icon } from "../ui/icon.js";
import { openMenuBelow } from "../ui/menu.js";
import { askPlaylist } from "./playlist.js";

const actionOf = (id) => actions.find((a) => a?.id === id);
const stopped = ["paused", "failed", "missing"]; // states in which resume helps

export function Head({ torrent: t, tall, setTall, close }) {
  const toggle = actionOf(stopped.includes(t.state) || t.fault ? "resume" : "pause");
  return html`<div class="details-head">
    <h2 title=${format.name(t.name)}>${format.name(t.name)}</h2>
    <span class=${"details-state tone-" + tone(t)}><b>${word(t)}</b></span>
    <div class="details-actions" role="toolbar" aria-label="Actions on this torrent">
      <${ActionButton} action=${toggle} torrent=${t} />
      ${["start", "recheck", "move", "rename"].map((id) => html`<${ActionButton} action=${actionOf(id)} torrent=${t} class="wide-only" />`)}
      <button class="wide-only" disabled=${t.size === 0} title="Play in a player (playlist)" aria-label="Play in a player" onClick=${() => askPlaylist(t)}><${Icon} name="playlist" /><span>Play</span></button>
      <${ActionButton} action=${actionOf("remove")} torrent=${t} />
      <button aria-label="More actions" title="More actions" onClick=${(e) => openMenuBelow(e.currentTarget, [...menu([t]), null, { title: "Play in a player…", disabled: t.size === 0, run: () => askPlaylist(t) }], "Actions")}><${Icon} name="more" /></button>
    </div>
    <button class="quiet wide-only" aria-label="Use the whole height" title="Use the whole height" aria-pressed=${String(tall)} onClick=${() => setTall(!tall)}><${Icon} name="tall" /></button>
    <button class="quiet" aria-label="Close the details" title="Close the details (Escape)" onClick=${close}><${Icon} name="close" /></button>
  </div>`;
}

const words = { start: "Start", recheck: "Check", move: "Move", rename: "Rename", remove: "Remove" }; // the titles are in the menu

const ActionButton = ({ action, torrent, class: className = "" }) => html`<button class=${`action ${className}`} disabled=${!canRun(action, 1)}
  aria-label=${action.title} title=${`${action.title} (${action.keys[0]})`} onClick=${() => run(action, [torrent])}><${Icon} name=${action.id} /><span>${words[action.id] || action.title}</span></button>`;
