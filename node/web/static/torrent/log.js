// The latest events of one torrent.
import * as format from "../format.js";
import { html } from "../html.js";
import { useResource } from "../resource.js";
import { Empty, ErrorText, Loading } from "../ui/message.js";

const every = 3000; // ms

const levels = { warning: "Warning", failed: "Error" };
const times = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });

export function Log({ torrent }) {
  const { data, error } = useResource(`v1/torrents/${torrent.infohash}/log`, every);
  if (!data) return error ? html`<${ErrorText} error=${error} />` : html`<${Loading} what="the log" />`;
  if (data.entries.length === 0) {
    return html`<${Empty} title="Nothing has happened since the daemon was started"><p>Events of this torrent appear here: metadata, completion, changes of its state, warnings and errors.</p></${Empty}>`;
  }
  return html`<ol class="log" aria-label="Events, the newest first">
    ${[...data.entries].reverse().map(
      (e) => html`<li class=${"log-" + e.event}>
        <time datetime=${e.time}>${times.format(new Date(e.time))}</time>
        <span>${levels[e.event] && html`<b>${levels[e.event]}: </b>`}${format.name(e.text)}${e.hint && html` <span class="muted">${format.name(e.hint)}</span>`}</span>
      </li>`,
    )}
  </ol>`;
}
