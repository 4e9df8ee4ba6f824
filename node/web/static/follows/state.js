// What is current of a publication that is followed, and how far the next version is.
import * as format from "../format.js";
import { html, useLayoutEffect, useState } from "../html.js";
import { titleOf as titleOfLink } from "../add/links.js";
import { href } from "../router.js";
import { onTorrents, torrents } from "../store.js";

/** useTorrents renders the component again when torrents have changed. */
export function useTorrents() {
  const [, render] = useState(0);
  useLayoutEffect(() => onTorrents(() => render((n) => n + 1)), []);
}

/** titleOf returns a name for a publication: that in its link, or that of the current version, or that of its folder. */
export function titleOf(f) {
  const link = titleOfLink({ link: f.link });
  if (link !== f.link) return format.name(link);
  const current = torrents.get(f.infohash)?.name;
  return format.name((current || f.dir.replace(/\/+$/, "").split("/").pop()) + (f.salt ? ` / ${f.salt}` : ""));
}

export function Current({ follow: f }) {
  if (f.seq === undefined) return html`<span class="muted">none yet</span>`;
  const t = torrents.get(f.infohash);
  return html`${format.number(f.seq)}${t && html` <span class="muted">${format.size(t.size)}</span>`}`;
}

/** Next says how far the next version is. */
export function Next({ follow: f }) {
  const t = torrents.get(f.next_infohash);
  if (f.stays) return html`<span class="muted">${f.newest_seq > f.seq ? `not downloaded: version ${format.number(f.newest_seq)} is the newest, and ${format.number(f.seq)} stays` : `not downloaded: version ${format.number(f.seq)} stays`}</span>`;
  if (!f.next_infohash) return html`<span class="muted">${f.seq === undefined ? "Looking for the first version in the DHT…" : "none found"}</span>`;
  if (!t) return html`Version ${format.number(f.next_seq)} was found…`;
  const share = t.wanted > 0 ? t.have / t.wanted : 0;
  const left = t.left_s > 0 ? `, ${format.span(t.left_s)} left` : "";
  const text = t.size === 0 ? `Version ${format.number(f.next_seq)}: fetching its metadata…` : `Version ${format.number(f.next_seq)}: ${format.size(t.have)} of ${format.size(t.wanted)} (${format.percent(share)})${left}`;
  return html`<span class="next"><a href=${href("torrents", t.infohash)} onClick=${(e) => e.stopPropagation()}>${text}</a>${t.size > 0 && html`<progress max="1" value=${share} aria-label="Progress of the next version"></progress>`}
    ${t.why && html`<small>${t.why}</small>`}</span>`;
}
