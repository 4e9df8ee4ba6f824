// One torrent of the add dialog: what it is, as far as that is known, and which files to download.
import { html, useEffect, useState } from "../html.js";
import * as format from "../format.js";
import { href } from "../router.js";
import { ErrorText } from "../ui/message.js";
import { FileTree } from "../ui/filetree.js";
import { isName, isPublication, titleOf } from "./links.js";

/** Item shows an item. known is what the inspection has found; choice is {follow, select, all, size}, as in dialog.js. */
export function Item({ item, known, choice, setChoice, accept, leaveOut, close, isOpen }) {
  const [open, setOpen] = useState(isOpen);
  const { job, files, error } = known;
  const found = job?.inspection;
  const publication = Boolean(item.link) && isPublication(item.link);
  const follows = publication && choice.follow; // a follower downloads all files of every version
  const name = format.name(found?.name || titleOf(item));
  const select = (numbers) => setChoice({ ...choice, select: numbers, all: files.length, size: files.reduce((n, f) => n + (numbers.has(f.number) ? f.size : 0), 0) });
  useEffect(() => {
    if (files && !choice.select) select(new Set(files.filter((f) => f.selected).map((f) => f.number)));
  }, [files]);
  const selected = choice.select;
  const isChanged = job?.fault?.kind === "conflict" && isName(item.link || "");
  return html`<li class="item">
    <div class="item-head">
      <strong class="cut" title=${name}>${name}</strong>
      ${leaveOut && html`<button type="button" class="quiet" aria-label=${`Leave out ${name}`} onClick=${leaveOut}>Leave out</button>`}
    </div>
    <p class="muted" role="status">${what(known)}</p>
    ${error && html`<${ErrorText} error=${error} />`}
    ${job?.fault && html`<p class="warn">${job.fault.error}. ${isChanged ? "Ask its publisher over another way whether that is right." : "You can add it anyway; the search then continues."}</p>`}
    ${isChanged && html`<p><button type="button" onClick=${accept}>Accept the other key</button></p>`}
    ${publication && html`<${Publication} found=${found} choice=${choice} setChoice=${setChoice} close=${close} />`}
    ${selected &&
    files?.length > 1 &&
    !follows &&
    html`<button type="button" class="folder" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>
        ${selected.size === files.length ? `All ${format.plural(files.length, "file")}` : `${format.number(selected.size)} of ${format.plural(files.length, "file")}`}, ${format.size(choice.size)}
      </button>
      ${open && html`<${FileTree} files=${files} selected=${selected} onSelect=${select} label=${`Files of ${name}`} />`}`}
  </li>`;
}

/** what says in one line what is known. */
function what({ job, files, error }) {
  if (error) return "";
  const i = job?.inspection;
  if (i?.has_metadata) {
    const parts = [format.size(i.size), format.plural(i.file_count, "file"), `${format.plural(i.pieces, "piece")} of ${format.pieceLength(i.piece_length)}`];
    if (i.private) parts.push("private");
    if (i.in_session) parts.push("already in the session");
    return parts.join(" · ") + (files ? "" : " · reading the files…");
  }
  if (job?.status === "running") return i?.search?.why ? `Looking for the metadata: ${i.search.why}` : "Looking for the metadata…";
  if (job) return "";
  return "Waiting to be inspected…";
}

/** Publication offers to follow the publication that a link names, or leads to it if it is followed already. */
function Publication({ found, choice, setChoice, close }) {
  const v = found?.newest;
  const newest = v?.seq !== undefined && ` The newest version is ${v.seq}, held by ${format.plural(v.holder_count, "DHT node")}.`;
  return html`<div class="publication">
    <p>This is the link of a publication: its publisher can publish new versions under the same link.${newest}</p>
    ${v?.followed
      ? html`<p><b>You follow it already.</b> <a href=${href("follows", v.target)} onClick=${close}>Show its versions</a></p>`
      : html`<label class="check"><input type="checkbox" checked=${choice.follow} onChange=${(e) => setChoice({ ...choice, follow: e.target.checked })} /> Follow it: download all files of this version and of every new one</label>`}
  </div>`;
}
