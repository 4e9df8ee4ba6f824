// A tree of files to choose from. Only the folders that are open are in the document.
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import * as format from "../format.js";

const atOnce = 500; // files of a folder that are shown before the button that shows more

/** treeOf returns the folder that contains files: {name, path, folders, files, numbers, size}. */
function treeOf(files) {
  const root = folder("", "");
  for (const f of files) {
    const parts = f.path.split("/");
    const name = parts.pop();
    let at = root;
    for (const p of parts) {
      let next = at.folders.get(p);
      if (!next) at.folders.set(p, (next = folder(p, at.path + p + "/")));
      at = next;
    }
    at.files.push({ ...f, name });
  }
  sum(root);
  // The folder of the torrent itself is not worth a line.
  return root.files.length === 0 && root.folders.size === 1 ? [...root.folders.values()][0] : root;
}

const folder = (name, path) => ({ name, path, folders: new Map(), files: [], numbers: [], size: 0 });

function sum(at) {
  for (const f of at.files) {
    at.numbers.push(f.number);
    at.size += f.size;
  }
  for (const d of at.folders.values()) {
    sum(d);
    for (const n of d.numbers) at.numbers.push(n);
    at.size += d.size;
  }
}

/** FileTree shows files, {number, path, size}. selected is a set of numbers; onSelect is called with another one. */
export function FileTree({ files, selected, onSelect, label }) {
  const root = useMemo(() => treeOf(files), [files]);
  const set = (numbers, on) => {
    const next = new Set(selected);
    for (const n of numbers) on ? next.add(n) : next.delete(n);
    onSelect(next);
  };
  return html`<div class="file-tree" role="group" aria-label=${label}><${Content} at=${root} selected=${selected} set=${set} /></div>`;
}

function Content({ at, selected, set }) {
  const [shown, setShown] = useState(atOnce);
  return html`<ul>
    ${[...at.folders.values()].map((d) => html`<${Folder} key=${d.path} at=${d} selected=${selected} set=${set} />`)}
    ${at.files.slice(0, shown).map((f) => html`<li key=${f.number}>
      <label class="check"><input type="checkbox" checked=${selected.has(f.number)} onChange=${(e) => set([f.number], e.target.checked)} />
        <span class="cut" title=${format.name(f.path)}>${format.name(f.name)}</span><span class="muted">${format.size(f.size)}</span></label>
    </li>`)}
    ${at.files.length > shown && html`<li><button type="button" onClick=${() => setShown(shown + atOnce)}>Show more of ${format.plural(at.files.length, "file")}</button></li>`}
  </ul>`;
}

function Folder({ at, selected, set }) {
  const [open, setOpen] = useState(false);
  const box = useRef();
  const count = at.numbers.reduce((n, x) => n + selected.has(x), 0);
  useEffect(() => {
    box.current.indeterminate = count > 0 && count < at.numbers.length;
  });
  return html`<li>
    <div class="check">
      <input ref=${box} type="checkbox" checked=${count === at.numbers.length} aria-label=${`All of ${format.name(at.name)}`} onChange=${(e) => set(at.numbers, e.target.checked)} />
      <button type="button" class="folder" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}><span class="cut">${format.name(at.name)}</span></button>
      <span class="muted">${format.plural(at.numbers.length, "file")}, ${format.size(at.size)}</span>
    </div>
    ${open && html`<${Content} at=${at} selected=${selected} set=${set} />`}
  </li>`;
}
