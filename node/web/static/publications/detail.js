// One publication: its link, its versions, and what can be done with it.
import { post, remove } from "../api.js";
import * as format from "../format.js";
import { html, useState } from "../html.js";
import { JobProgress, noteJob, useJob } from "../jobs.js";
import { href, navigate } from "../router.js";
import { torrents } from "../store.js";
import { Dialog, confirm, openDialog } from "../ui/dialog.js";
import { Guarded, ScopeNote } from "../ui/guarded.js";
import { toast, toastError } from "../ui/toast.js";
import { Differences } from "../versions/differences.js";
import { Versions } from "../versions/list.js";
import { Holders } from "./holders.js";
import { Share } from "./share.js";

export function Detail({ publication: p, reload }) {
  const [number, setNumber] = useState(0);
  const job = useJob(number, (j) => {
    reload();
    if (j.status === "done") toast(`Published version ${format.number(j.seq)}.`);
  });
  const isBusy = job?.status === "running";
  const start = async (request) => setNumber(noteJob(await request).number);
  const again = () => start(post("v1/publications", { key: p.name, ...(p.salt && { salt: p.salt }), path: p.path, ...(p.watch_s && { watch_s: p.watch_s }) })).catch(toastError);
  const askRollback = (v) =>
    confirm({
      title: `Go back to version ${v.seq}?`,
      text: `Its content is published again, as version ${newest.seq + 1}. Everyone who follows the link gets it in place of version ${newest.seq}. The folder stays as it is; what has changed in it since then is downloaded from followers that have it.`,
      action: `Publish version ${v.seq} again`,
      run: () => start(post(`v1/publications/${p.target}/rollback`, { seq: v.seq })),
    });
  const newest = p.versions.at(-1);
  const torrent = torrents.get(newest?.infohash);
  return html`<div class="view">
    <div class="view-head">
      <a class="back" href=${href("publications")}>Publications</a>
      <h1>${format.name(p.name)}${p.salt ? ` / ${format.name(p.salt)}` : ""}${p.ended && html` <span class="badge">ended</span>`}</h1>
      <${Guarded} scope="admin" class="primary" disabled=${isBusy} onClick=${again}>${p.ended ? "Publish again" : "Publish the next version"}</${Guarded}>
      <${Guarded} scope="admin" disabled=${isBusy} onClick=${() => openDialog(End, { publication: p, reload })}>${p.ended ? "Delete…" : "End…"}</${Guarded}>
    </div>
    <${ScopeNote} scope="admin" actions="publish, roll back or end" />
    ${job && html`<${JobProgress} job=${job} />`}
    <p>${p.ended ? "Its folder was" : "Its folder is"} <code class="path">${format.name(p.path)}</code>${p.watch_s ? `, which is checked for changes every ${format.span(p.watch_s)}` : ""}.</p>
    ${p.master_key && html`<p>It is published under the link of another key, which has delegated it to the key ${format.name(p.name)}.</p>`}
    ${!p.ended && torrent && !torrent.complete && html`<p class="note">The daemon does not have all data of version ${newest.seq} any more. It downloads the rest from followers that have it: ${torrent.why || torrent.state}.</p>`}
    <${Share} publication=${p} />
    <section class="card" aria-labelledby="versions-title">
      <h2 id="versions-title">Versions</h2>
      <${Versions} versions=${p.versions} current=${p.ended ? undefined : newest?.seq}
        actions=${(v) => v !== newest && !p.ended && html`<${Guarded} scope="admin" disabled=${isBusy} onClick=${() => askRollback(v)}><span>Go back<span class="hidden"> to version ${v.seq}</span>…</span></${Guarded}>`} />
      ${p.versions.length > 1 && !p.ended && html`<${Differences} path=${`v1/publications/${p.target}`} versions=${p.versions} />`}
    </section>
    ${!p.ended && html`<${Holders} publication=${p} />`}
  </div>`;
}

function End({ close, publication: p, reload }) {
  const [keep, setKeep] = useState(!p.ended);
  const submit = async () => {
    await remove(`v1/publications/${p.target}?keep_history=${keep}`);
    toast(p.ended ? `Deleted the history of ${format.name(p.name)}.` : `Ended ${format.name(p.name)}.`);
    navigate(href("publications"), true);
    await reload();
  };
  return html`<${Dialog} title=${p.ended ? `Delete the history of ${format.name(p.name)}?` : `End ${format.name(p.name)}?`} close=${close} danger action=${p.ended ? "Delete" : keep ? "End" : "End and delete the history"} submit=${submit}>
    <p>${p.ended ? "Its versions are no longer on record; publishing under the key again starts a new history." : "The daemon no longer signs and announces it. After two hours the link no longer works, unless a follower keeps it alive."} The key and the files stay.</p>
    ${!p.ended &&
    html`<label class="check"><input data-focus type="checkbox" checked=${keep} onChange=${(e) => setKeep(e.target.checked)} /> Keep the history, so that it can be published again with the next number</label>`}
  </${Dialog}>`;
}
