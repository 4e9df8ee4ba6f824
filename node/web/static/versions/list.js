// A table of versions, the newest first.
import * as format from "../format.js";
import { html } from "../html.js";
import { href } from "../router.js";
import { torrents } from "../store.js";
import { Table } from "../ui/table.js";

/** Versions shows versions; actions(version) returns the buttons of one, and current is the number of the current one. */
export function Versions({ versions, current, actions }) {
  const has = (name) => versions.some((v) => v[name] !== undefined);
  const columns = [
    { id: "seq", title: "Version", value: (v) => v.seq, cell: (v) => html`${format.number(v.seq)}${v.seq === current && html` <span class="badge badge-accent">current</span>`}` },
    has("time") && { id: "time", title: "Date", value: (v) => v.time, cell: (v) => html`<span class="when">${format.date(v.time)}</span>` },
    { id: "size", title: "Size", align: "end", value: (v) => v.size, cell: (v) => format.size(v.size) },
    { id: "files", title: "Files", wide: true, align: "end", value: (v) => v.file_count, cell: (v) => format.number(v.file_count) },
    { id: "infohash", title: "Torrent", wide: true, cell: (v) => html`<${Torrent} hash=${v.infohash} />` },
    has("dir") && { id: "dir", title: "Folder", wide: true, cell: (v) => html`<span class="path mono" title=${v.dir}>${format.name(v.dir)}</span>` },
    actions && { id: "actions", title: html`<span class="hidden">Actions</span>`, align: "end", cell: actions },
  ].filter(Boolean);
  return html`<${Table} label="List of versions" columns=${columns} rows=${versions} rowKey=${(v) => v.seq} order=${{ id: "seq", down: true }} />`;
}

function Torrent({ hash }) {
  const short = hash.slice(0, 12) + "…";
  return torrents.has(hash) ? html`<a class="mono" href=${href("torrents", hash)}>${short}</a>` : html`<span class="mono" title=${hash}>${short}</span>`;
}
