// Follows: the publications of others whose newest version this daemon has.
import * as format from "../format.js";
import { html } from "../html.js";
import { Detail } from "../follows/detail.js";
import { NewFollow } from "../follows/new.js";
import { Current, Next, titleOf, useTorrents } from "../follows/state.js";
import { useResource } from "../resource.js";
import { href, navigate } from "../router.js";
import { may } from "../session.js";
import { openDialog } from "../ui/dialog.js";
import { Guarded, ScopeNote } from "../ui/guarded.js";
import { Icon } from "../ui/icon.js";
import { Empty, ErrorText, Loading } from "../ui/message.js";
import { Table } from "../ui/table.js";

const pollEvery = 3000;

export default function Follows({ args }) {
  const { data, error, reload } = useResource("v1/follows", pollEvery);
  useTorrents();
  const id = args[0];
  if (id) {
    const follow = data?.follows.find((f) => f.target === id);
    if (!data) return html`<div class="view">${error ? html`<${ErrorText} error=${error} />` : html`<${Loading} what="the publication" />`}</div>`;
    if (!follow) return html`<${Empty} title="This publication is not followed"><p>What was downloaded of it is still on disk.</p><a href=${href("follows")}>All follows</a></${Empty}>`;
    return html`<${Detail} key=${id} follow=${follow} reload=${reload} />`;
  }
  const create = () => openDialog(NewFollow, { reload });
  return html`<div class="view">
    <div class="view-head">
      <h1>Follows</h1>
      <${Guarded} scope="add" class="primary" onClick=${create}><${Icon} name="add" />Follow a link</${Guarded}>
    </div>
    <p class="lead">The daemon checks these publications for new versions, downloads each one, and switches to it when it is complete.</p>
    <${ScopeNote} scope="add" actions="follow or stop following" />
    ${error && html`<${ErrorText} error=${error} />`}
    ${!data && !error && html`<${Loading} what="the follows" />`}
    ${data &&
    html`<${Table} label="Follows" columns=${columns} rows=${data.follows} rowKey=${(f) => f.target} onRow=${(f) => navigate(href("follows", f.target))}
      empty=${html`<${Empty} title="Nothing is followed yet">
        <p>Paste the link of a publication: a magnet link with a public key (<code>xs=urn:btpk:</code>).</p>
        ${may("add") && html`<button type="button" class="primary" onClick=${create}>Follow a link</button>`}
      </${Empty}>`} />`}
  </div>`;
}

const columns = [
  { id: "name", title: "Publication", value: (f) => titleOf(f).toLowerCase(), cell: (f) => html`<a href=${href("follows", f.target)} onClick=${(e) => e.stopPropagation()}>${titleOf(f)}</a>` },
  { id: "current", title: "Current version", value: (f) => f.seq ?? 0, cell: (f) => html`<${Current} follow=${f} />` },
  { id: "next", title: "Next version", cell: (f) => html`<${Next} follow=${f} />` },
  { id: "poll", title: "Checked", wide: true, value: (f) => f.poll_s, cell: (f) => `every ${format.span(f.poll_s)}` },
  { id: "dir", title: "Folder", wide: true, value: (f) => f.dir, cell: (f) => html`<span class="path" title=${f.dir}>${format.name(f.dir)}</span>` },
];
