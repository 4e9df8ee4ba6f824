// How torrents get into the add dialog: the button, a key, paste and drop anywhere, magnet links that the browser hands over.
import { html, useEffect } from "../html.js";
import { useKeys } from "../keys.js";
import { useObservable } from "../observable.js";
import { may, toAdd } from "../session.js";
import { isDialogOpen, openDialog } from "../ui/dialog.js";
import { Icon } from "../ui/icon.js";
import { toast, toastError } from "../ui/toast.js";
import { AddDialog, offer } from "./dialog.js";
import { findLinks, readTorrent } from "./links.js";

/** openAdd opens the dialog with what to add, {link} or {torrent, title}; if it is open, these are added to it. */
export const openAdd = (items = []) => offer(items) || openDialog(AddDialog, { items });

export const AddButton = () => html`<button class="primary add" onClick=${() => openAdd()} title="Add torrents (a)"><${Icon} name="add" /><span>Add</span></button>`;

async function openFiles(files) {
  const items = [];
  for (const f of files) {
    try {
      items.push(await readTorrent(f));
    } catch (e) {
      toastError(e);
    }
  }
  if (items.length) openAdd(items);
}

function take(transfer) {
  if (transfer.files.length) {
    openFiles([...transfer.files]);
    return;
  }
  const text = transfer.getData("text/uri-list") || transfer.getData("text/plain");
  const links = findLinks(text);
  if (links.length) openAdd(links);
  else if (text.trim()) toast("There is no magnet link in this text.", { hint: "Paste a magnet link or an infohash, or drop a .torrent file.", isError: true });
}

/** useAdding makes the page take what is pasted and dropped. */
export function useAdding() {
  const given = useObservable(toAdd);
  const allowed = may("add");
  useKeys("Adding", allowed ? [{ keys: ["a", "Insert"], title: "Add torrents", run: () => openAdd() }, { keys: ["Ctrl+V"], title: "Add what is in the clipboard" }] : []);
  useEffect(() => {
    if (!given || !allowed) return;
    toAdd.set(null);
    openAdd([given.torrent ? { torrent: given.torrent, title: "A .torrent file" } : { link: given.link }]);
  }, [given]);
  useEffect(() => {
    if (!allowed) return;
    const isField = (e) => e.target.closest?.("input, textarea, dialog");
    const paste = (e) => {
      if (isField(e) || isDialogOpen()) return;
      e.preventDefault();
      take(e.clipboardData);
    };
    const over = (e) => {
      e.preventDefault();
      document.body.classList.add("dropping");
    };
    const leave = (e) => e.relatedTarget || document.body.classList.remove("dropping");
    const drop = (e) => {
      document.body.classList.remove("dropping");
      if (e.target.closest?.("textarea")) return;
      e.preventDefault();
      take(e.dataTransfer);
    };
    const listeners = { paste, dragover: over, dragleave: leave, drop };
    for (const [name, f] of Object.entries(listeners)) addEventListener(name, f);
    return () => {
      for (const [name, f] of Object.entries(listeners)) removeEventListener(name, f);
    };
  }, [allowed]);
}
