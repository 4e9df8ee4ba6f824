// The files of a torrent: a tree with selection, priority and progress. Only the rows in view are in the document.
import * as format from "../format.js";
import { classes, html, useEffect, useLayoutEffect, useMemo, useState } from "../html.js";
import { useObservable } from "../observable.js";
import { may } from "../session.js";
import { Icon } from "../ui/icon.js";
import { openMenuBelow } from "../ui/menu.js";
import { Empty, ErrorText, Loading } from "../ui/message.js";
import { toastError } from "../ui/toast.js";
import { useWindow } from "../ui/window.js";
import { fileMenu, isPlayable, play } from "./fileactions.js";
import { FileList } from "./filelist.js";
import { priorityOf } from "./tree.js";

const narrowBelow = 640; // px
const heightOf = (width) => (width < narrowBelow ? 58 : 32); // px, as in the style sheet

const priorities = [["low", "Low"], ["normal", "Normal"], ["high", "High"], ["maximum", "Maximum"]];

export function Files({ torrent }) {
  if (torrent.size === 0 && !torrent.complete) {
    return html`<${Empty} title="The files are not known yet"><p>They come with the metadata, which a peer sends. Overview says why there is none.</p></${Empty}>`;
  }
  return html`<${List} key=${torrent.infohash} torrent=${torrent} />`;
}

function List({ torrent }) {
  const list = useMemo(() => new FileList(torrent.infohash), []);
  useEffect(() => () => list.stop(), []);
  useObservable(list.version);
  useEffect(() => list.see(torrent), [torrent]);
  if (!list.tree) return list.error ? html`<${ErrorText} error=${list.error} />` : html`<${Loading} what="the files" />`;
  return html`<${FileTree} list=${list} torrent=${torrent} version=${list.version.value} />`;
}

function FileTree({ list, torrent, version }) {
  const { tree } = list;
  const [search, setSearch] = useState("");
  const [opened, setOpened] = useState(0); // another number once a folder was opened or closed
  const [current, setCurrent] = useState(0); // the row of the keyboard
  const rows = useMemo(() => tree.rows(search), [tree, search, opened, tree.leaves.length]);
  const { frame, first, count, width, measure } = useWindow(heightOf);
  const height = heightOf(width);
  const at = Math.min(current, rows.length - 1);

  // Keeps the row of the keyboard in view.
  useLayoutEffect(() => {
    const f = frame.current;
    if (at * height < f.scrollTop) f.scrollTop = at * height;
    else if ((at + 1) * height > f.scrollTop + f.clientHeight) f.scrollTop = (at + 1) * height - f.clientHeight;
  }, [at]);

  const tryTo = async (change) => {
    try {
      await change();
    } catch (e) {
      toastError(e);
    }
  };
  const toggle = (row) => {
    row.open = !row.open;
    setOpened((n) => n + 1);
  };
  const choose = (row) => {
    const leaves = tree.leavesOf(row, search);
    return tryTo(() => list.select(leaves, !leaves.every((l) => l.file.selected)));
  };
  const onKeyDown = (e) => {
    const row = rows[at];
    if (!row || e.ctrlKey || e.metaKey || e.altKey || e.target.matches("select")) return;
    if (e.target !== e.currentTarget && (e.key === "Enter" || e.key === " ")) return e.stopPropagation(); // of the button or the field
    const page = Math.max(1, Math.floor(frame.current.clientHeight / height) - 1);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: rows.length - 1 }[e.key];
    if (to !== undefined) setCurrent(Math.max(0, Math.min(rows.length - 1, to)));
    else if (e.key === "ArrowRight" && row.children) row.open ? setCurrent(Math.min(rows.length - 1, at + 1)) : toggle(row);
    else if (e.key === "ArrowLeft") row.children && row.open && !search ? toggle(row) : setCurrent(Math.max(0, rows.indexOf(row.parent)));
    else if (e.key === " ") may("add") && choose(row);
    else if (e.key === "Enter") row.children ? toggle(row) : isPlayable(row.file) && play(torrent, row.file);
    else return;
    e.preventDefault();
    e.stopPropagation();
  };

  const from = Math.max(0, Math.min(first, rows.length - count));
  const shown = rows.slice(from, from + count);
  const root = tree.root;
  return html`<div class="files">
    <div class="files-bar">
      <label class="search"><span class="hidden">Search the files</span><${Icon} name="search" />
        <input type="search" placeholder="Search the files" value=${search} onInput=${(e) => (setSearch(e.target.value), setCurrent(0))} spellcheck="false" autocomplete="off" />
      </label>
      <span class="muted" role="status">${format.number(root.chosen)} of ${format.plural(root.count, "file")} selected, ${format.size(root.have)} of ${format.size(root.size)}</span>
    </div>
    ${list.error && html`<${ErrorText} error=${list.error} />`}
    <div ref=${frame} class=${classes("tree", width < narrowBelow && "tree-narrow")} role="treegrid" aria-label="Files" tabindex="0" aria-rowcount=${rows.length}
      aria-activedescendant=${at >= from && at < from + count ? `file-row-${at}` : undefined} onScroll=${measure} onKeyDown=${onKeyDown}>
      ${rows.length === 0 && html`<${Empty} title="No file has these words"><button onClick=${() => setSearch("")}>Show all files</button></${Empty}>`}
      <div class="tree-rows" role="presentation" style=${{ height: rows.length * height + "px" }}>
        ${shown.map((row, i) => html`<${Row} key=${row.path} row=${row} index=${from + i} top=${(from + i) * height} current=${from + i === at} isOpen=${row.open || search !== ""}
          onFocus=${() => setCurrent(from + i)} onToggle=${() => toggle(row)} onChoose=${() => choose(row)} torrent=${torrent}
          onPriority=${(p) => tryTo(() => list.setPriority(tree.leavesOf(row, search), p))} onRenamed=${() => list.refresh()} />`)}
      </div>
    </div>
  </div>`;
}

const isChosen = (row) => (row.children ? row.chosen === row.count : row.file.selected);

function Row({ row, index, top, current, isOpen, torrent, onFocus, onToggle, onChoose, onPriority, onRenamed }) {
  const { file } = row;
  const name = format.name(row.name);
  const { size, have } = file || row;
  const done = size > 0 ? have / size : 1;
  const priority = file ? file.priority : priorityOf(row);
  const wanted = file ? file.selected : row.chosen > 0;
  const tab = current ? 0 : -1;
  return html`<div id=${`file-row-${index}`} class=${classes("tree-row", current && "current")} role="row" aria-rowindex=${index + 1} aria-level=${row.level + 1}
    aria-expanded=${file ? undefined : String(isOpen)} style=${{ transform: `translateY(${top}px)` }} onMouseDown=${onFocus}>
    <span role="gridcell" class="tree-name" style=${{ paddingLeft: `${Math.min(row.level, 10) * 18}px` }}>
      ${file
        ? html`<span class="tree-gap"></span>`
        : html`<button type="button" class="quiet tree-toggle" tabindex=${tab} aria-label=${`${isOpen ? "Close" : "Open"} ${name}`} onClick=${onToggle}><${Icon} name=${isOpen ? "open" : "closed"} /></button>`}
      <input type="checkbox" tabindex=${tab} aria-label=${`Download ${name}`} disabled=${!may("add")} checked=${isChosen(row)} indeterminate=${!file && row.chosen > 0 && row.chosen < row.count} onClick=${(e) => (e.preventDefault(), onChoose())} />
      <span class="cut tree-text" title=${name} onDblClick=${file ? undefined : onToggle}>${name}</span>
      ${!file && html`<span class="muted tree-count">${format.plural(row.count, "file")}</span>`}
    </span>
    <span role="gridcell" class="end tree-size">${format.size(size)}</span>
    <span role="gridcell" class=${classes("done", !wanted && "muted")}><span class=${`bar bar-${done === 1 ? "done" : "active"}`}><span style=${{ transform: `scaleX(${done})` }}></span></span><span class="number">${wanted || done > 0 ? format.percent(done) : ""}</span></span>
    <span role="gridcell" class="tree-priority">
      ${wanted
        ? html`<select tabindex=${tab} aria-label=${`Priority of ${name}`} disabled=${!may("add")} value=${priority} onChange=${(e) => onPriority(e.target.value)}>
            ${priority === "" && html`<option value="" disabled>Mixed</option>`}
            ${priorities.map(([id, title]) => html`<option value=${id}>${title}</option>`)}
          </select>`
        : html`<span class="muted">Not wanted</span>`}
    </span>
    <span role="gridcell" class="tree-actions">
      ${file && isPlayable(file) && html`<button type="button" class="quiet" tabindex=${tab} aria-label=${`Play ${name}`} title="Play" onClick=${() => play(torrent, file)}><${Icon} name="resume" /></button>`}
      <button type="button" class="quiet" tabindex=${tab} aria-label=${`Actions on ${name}`} title="Actions" onClick=${(e) => openMenuBelow(e.currentTarget, fileMenu(torrent, row, onRenamed), "Actions")}><${Icon} name="more" /></button>
    </span>
  </div>`;
}
