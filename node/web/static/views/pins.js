// Pins: what this daemon keeps alive for others, and the lists of pins that it subscribes to.
import { remove } from "../api.js";
import * as format from "../format.js";
import { html, useState } from "../html.js";
import { AddPin, PublishList, Subscribe } from "../pins/new.js";
import { states, titleOf } from "../pins/state.js";
import { useResource } from "../resource.js";
import { href } from "../router.js";
import { may } from "../session.js";
import { torrents } from "../store.js";
import { Dialog, confirm, openDialog } from "../ui/dialog.js";
import { Guarded, ScopeNote } from "../ui/guarded.js";
import { Icon } from "../ui/icon.js";
import { Empty, ErrorText, Loading } from "../ui/message.js";
import { Table } from "../ui/table.js";
import { toast } from "../ui/toast.js";

const pollEvery = 3000;

export default function Pins() {
  const { data, error, reload: reloadPins } = useResource("v1/pins", pollEvery);
  const lists = useResource("v1/pin-lists", pollEvery);
  const reload = () => Promise.all([reloadPins(), lists.reload()]);
  const add = () => openDialog(AddPin, { reload });
  const subscribe = () => openDialog(Subscribe, { reload });
  return html`<div class="view">
    <div class="view-head">
      <h1>Pins</h1>
      <${Guarded} scope="add" class="primary" onClick=${add}><${Icon} name="add" />Pin a link</${Guarded}>
      <${Guarded} scope="admin" onClick=${() => openDialog(PublishList)}>Publish your list…</${Guarded}>
    </div>
    <p class="lead">The daemon holds and seeds what you pin. Of a publication, it holds the newest version, and keeps the link alive while its publisher is offline.</p>
    <${ScopeNote} scope=${may("add") ? "admin" : "add"} actions=${may("add") ? "remove pins, or subscribe to lists" : "pin anything"} />
    ${error && html`<${ErrorText} error=${error} />`}
    ${!data && !error && html`<${Loading} what="the pins" />`}
    ${data && html`<${Used} pins=${data} />
      <${Table} label="Pins" columns=${pinColumns(reload)} rows=${data.pins} rowKey=${(p) => p.id}
        empty=${html`<${Empty} title="Nothing is pinned yet">
          <p>Paste the link of a publication or a torrent that should stay available.</p>
          ${may("add") && html`<button type="button" class="primary" onClick=${add}>Pin a link</button>`}
        </${Empty}>`} />`}
    <section class="card" aria-labelledby="lists-title">
      <h2 id="lists-title">Lists of others</h2>
      <p>The daemon pins what a list names, and follows its changes: what disappears from the list is deleted.</p>
      ${lists.error && html`<${ErrorText} error=${lists.error} />`}
      ${lists.data?.lists.length > 0 && html`<${Table} label="Lists of pins" columns=${listColumns(reload)} rows=${lists.data.lists} rowKey=${(l) => l.id} />`}
      <p><${Guarded} scope="admin" onClick=${subscribe}>Subscribe to a list…</${Guarded}></p>
    </section>
  </div>`;
}

/** Used shows how much of the quota of all pins is used. */
function Used({ pins: p }) {
  const text = `${format.size(p.size)}${p.quota ? ` of ${format.size(p.quota)}` : ""} used by ${format.plural(p.pins.length, "pin")}`;
  return html`<div class="pin-quota">
    <p>${text}${may("admin") && html` · <a href=${href("settings")}>Change the quota</a>`}</p>
    ${p.quota > 0 && html`<progress max=${p.quota} value=${Math.min(p.size, p.quota)} aria-label="Used part of the quota of all pins"></progress>`}
  </div>`;
}

const version = (p) => (p.seq === undefined ? "" : `${format.number(p.seq)}${p.newest_seq > p.seq ? ` of ${format.number(p.newest_seq)}` : ""}`);

const pinColumns = (reload) => [
  { id: "name", title: "Pin", value: (p) => titleOf(p).toLowerCase(), cell: (p) => (torrents.has(p.infohash) ? html`<a href=${href("torrents", p.infohash)}>${titleOf(p)}</a>` : titleOf(p)) },
  { id: "state", title: "State", value: (p) => p.state, cell: (p) => html`<span class="next"><span class=${["over_quota", "failed"].includes(p.state) && "warn"}>${states[p.state] || p.state}</span>${p.error && html`<small>${p.error}</small>`}</span>` },
  { id: "version", title: "Version", wide: true, align: "end", value: (p) => p.seq ?? 0, cell: version },
  { id: "size", title: "Size", align: "end", value: (p) => p.size, cell: (p) => html`${format.size(p.size)}${p.quota > 0 && html` <span class="muted">of ${format.size(p.quota)}</span>`}` },
  { id: "by", title: "Pinned by", wide: true, cell: (p) => [p.own && "you", p.lists && format.plural(p.lists.length, "list")].filter(Boolean).join(", ") },
  { id: "actions", title: html`<span class="hidden">Actions</span>`, align: "end", cell: (p) => p.own && html`<${Guarded} scope="admin" aria-label=${`Remove ${titleOf(p)}`} onClick=${() => openDialog(Remove, { pin: p, reload })}>Remove…</${Guarded}>` },
];

const listColumns = (reload) => [
  { id: "name", title: "List", cell: (l) => html`<span title=${l.link}>${titleOf(l)}</span>` },
  { id: "links", title: "Pinned", cell: (l) => html`<span class="next"><span>${l.seq === undefined ? "no version found yet" : `${format.number(l.pins)} of ${format.plural(l.named, "link")}`}</span>${l.error && html`<small class="warn">${l.error}</small>`}</span>` },
  { id: "used", title: "Used", align: "end", cell: (l) => html`${format.size(l.size)} <span class="muted">of ${format.size(l.quota)}</span>` },
  { id: "version", title: "Version", wide: true, align: "end", cell: version },
  { id: "actions", title: html`<span class="hidden">Actions</span>`, align: "end", cell: (l) => html`<${Guarded} scope="admin" aria-label=${`End the subscription to ${titleOf(l)}`} onClick=${() => askUnsubscribe(l, reload)}>End…</${Guarded}>` },
];

function Remove({ close, pin: p, reload }) {
  const [data, setData] = useState(false);
  const submit = async () => {
    await remove(`v1/pins/${p.id}?data=${data}`);
    toast(p.lists ? `A list keeps ${titleOf(p)} pinned.` : `Removed the pin ${titleOf(p)}.`);
    await reload();
  };
  return html`<${Dialog} title=${`Remove the pin ${titleOf(p)}?`} close=${close} danger action="Remove" submit=${submit}>
    <p>${p.lists ? "A list names it as well, so the daemon keeps it for that list." : "The daemon no longer seeds it and no longer keeps its link alive."}</p>
    ${!p.lists && html`<label class="check"><input data-focus type="checkbox" checked=${data} onChange=${(e) => setData(e.target.checked)} /> Also delete what it has downloaded</label>`}
  </${Dialog}>`;
}

const askUnsubscribe = (l, reload) =>
  confirm({
    title: `End the subscription to ${titleOf(l)}?`,
    text: "The pins that only this list names end, and their data is deleted.",
    action: "End",
    danger: true,
    run: async () => {
      await remove(`v1/pin-lists/${l.id}`);
      toast("The subscription has ended.");
      await reload();
    },
  });
