// Publications: what this daemon publishes, and each one with its versions.
import * as format from "../format.js";
import { html } from "../html.js";
import { JobProgress, useJobs } from "../jobs.js";
import { Detail } from "../publications/detail.js";
import { NewPublication } from "../publications/new.js";
import { useResource } from "../resource.js";
import { href, navigate } from "../router.js";
import { may } from "../session.js";
import { openDialog } from "../ui/dialog.js";
import { Guarded, ScopeNote } from "../ui/guarded.js";
import { Icon } from "../ui/icon.js";
import { Empty, ErrorText, Loading } from "../ui/message.js";
import { Table } from "../ui/table.js";

const pollEvery = 5000;

export default function Publications({ args }) {
  const { data, error, reload } = useResource("v1/publications?ended=true", pollEvery);
  const running = useJobs("publish", "rollback").filter((j) => j.status === "running");
  const id = args[0];
  if (id) {
    const publication = data?.publications.find((p) => p.target === id);
    if (!data) return html`<div class="view">${error ? html`<${ErrorText} error=${error} />` : html`<${Loading} what="the publication" />`}</div>`;
    if (!publication) return html`<${Empty} title="This publication does not exist"><p>It was ended and its history was deleted.</p><a href=${href("publications")}>All publications</a></${Empty}>`;
    return html`<${Detail} key=${id} publication=${publication} reload=${reload} />`;
  }
  const create = () => openDialog(NewPublication, { reload });
  return html`<div class="view">
    <div class="view-head">
      <h1>Publications</h1>
      <${Guarded} scope="admin" class="primary" onClick=${create}><${Icon} name="add" />New publication</${Guarded}>
    </div>
    <p class="lead">A publication is a folder with a link that stays the same: everyone who follows the link gets every new version.</p>
    <${ScopeNote} scope="admin" actions="publish" />
    ${running.map((j) => html`<div class="card" key=${j.number}><${JobProgress} job=${j} /></div>`)}
    ${error && html`<${ErrorText} error=${error} />`}
    ${!data && !error && html`<${Loading} what="the publications" />`}
    ${data &&
    html`<${Table} label="Publications" columns=${columns} rows=${data.publications} rowKey=${(p) => p.target} order=${{ id: "name" }}
      empty=${html`<${Empty} title="Nothing is published yet">
        <p>Choose a folder on the machine of the daemon. You get one link for all its versions.</p>
        ${may("admin") && html`<button type="button" class="primary" onClick=${create}>Publish a folder</button>`}
      </${Empty}>`} onRow=${(p) => navigate(href("publications", p.target))} />`}
  </div>`;
}

const newest = (p) => p.versions.at(-1);
const columns = [
  { id: "name", title: "Name", value: (p) => p.name.toLowerCase(), cell: (p) => html`<a href=${href("publications", p.target)} onClick=${(e) => e.stopPropagation()}>${format.name(p.name)}${p.salt ? ` / ${format.name(p.salt)}` : ""}</a>${p.ended && html` <span class="badge">ended</span>`}` },
  { id: "version", title: "Version", align: "end", value: (p) => newest(p)?.seq ?? 0, cell: (p) => newest(p)?.seq ?? "" },
  { id: "size", title: "Size", wide: true, align: "end", value: (p) => newest(p)?.size ?? 0, cell: (p) => (newest(p) ? format.size(newest(p).size) : "") },
  { id: "time", title: "Published", value: (p) => newest(p)?.time ?? "", cell: (p) => format.date(newest(p)?.time) },
  { id: "watch", title: "New versions", wide: true, cell: (p) => (p.ended ? "" : p.watch_s ? `when the folder changes (checked every ${format.span(p.watch_s)})` : "by hand") },
  { id: "path", title: "Folder", wide: true, value: (p) => p.path, cell: (p) => html`<span class="path" title=${p.path}>${format.name(p.path)}</span>` },
];
