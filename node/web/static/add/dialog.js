// The dialog that adds torrents: what they are, which files, and where to.
import { ApiError, each, get, post } from "../api.js";
import * as format from "../format.js";
import { html, useEffect, useState } from "../html.js";
import { useObservable } from "../observable.js";
import { Interval, usualInterval } from "../follows/interval.js";
import { href, navigate } from "../router.js";
import { node, putTorrent, torrents } from "../store.js";
import { Dialog } from "../ui/dialog.js";
import { toast } from "../ui/toast.js";
import { Inspections } from "./inspections.js";
import { Item } from "./item.js";
import { findLinks, hasTorrent, isPublication, titleOf } from "./links.js";
import { Space } from "./space.js";

// select: the numbers of the wanted files, and size their bytes; null: as the link says
const first = { follow: true, select: null, all: 0, size: 0 };
const maxInspected = 20; // of more, only the links are shown

let receive = null; // takes more items while the dialog is open

/** offer adds items to the dialog, if it is open. It reports whether it is. */
export function offer(items) {
  receive?.(items);
  return receive !== null;
}

export function AddDialog({ close, items: given }) {
  const [items, setItems] = useState(given);
  const [choices, setChoices] = useState(new Map());
  const [text, setText] = useState("");
  const [options, setOptions] = useState({ dir: "", labels: "", category: "", paused: false, poll: usualInterval });
  const [categories, setCategories] = useState([]);
  const [inspections] = useState(() => new Inspections());
  useObservable(inspections.changed);
  useEffect(() => {
    get("v1/categories").then((l) => setCategories(l.categories.map((c) => c.name)), () => {}); // they are only suggestions
    receive = more;
    return () => {
      receive = null;
      inspections.close();
    };
  }, []);
  useEffect(() => {
    for (const item of items.slice(0, maxInspected)) inspections.begin(item);
  }, [items]);

  const choice = (item) => choices.get(item) || first;
  const set = (change) => setOptions({ ...options, ...change });
  const folders = [...new Set([...torrents.values()].map((t) => t.dir))].sort();

  const more = (found) => setItems((old) => [...old, ...found.filter((f) => !f.link || !old.some((i) => i.link === f.link))]);
  const onText = (e) => {
    // What is complete becomes an item; what is still being typed stays.
    const value = e.target.value;
    const found = findLinks(value);
    if (!found.length || e.inputType === "insertText") return setText(value);
    more(found);
    setText("");
  };
  const leaveOut = (item) => {
    inspections.end(item);
    setItems(items.filter((i) => i !== item));
  };
  const all = [...items, ...findLinks(text)];
  const isFollowed = (item) => item.link && isPublication(item.link) && (choice(item).follow || !hasTorrent(item.link));
  const follows = all.filter(isFollowed);
  const onlyFollows = all.length > 0 && follows.length === all.length;
  const inspection = (item) => inspections.of(item).job?.inspection;
  // The publications that are followed already: there is nothing to do but to look at them.
  const alreadyFollowed = (item) => inspection(item)?.newest?.followed;
  const isDone = all.length > 0 && all.every(alreadyFollowed);
  const verb = isDone ? "Show" : onlyFollows ? "Follow" : "Add";
  const sizeOf = (item) => (inspection(item)?.in_session ? 0 : isFollowed(item) ? inspection(item)?.size : choice(item).size) || 0;
  const size = all.reduce((sum, item) => sum + sizeOf(item), 0);

  const add = async (item, body) => {
    const { select, all: count } = choice(item);
    const { job } = inspections.of(item);
    if (alreadyFollowed(item)) return job.inspection.newest.target;
    if (isFollowed(item)) return (await post("v1/follows", { link: item.link, poll_s: Number(options.poll), ...(body.dir && { dir: body.dir }) })).target;
    const isKnown = job?.status === "done" && job.inspection?.has_metadata;
    const what = isKnown ? { inspection: job.number } : item.link ? { link: item.link } : { torrent: item.torrent };
    if (select && select.size < count) what.select = [...select].sort((a, b) => a - b);
    else if (select) what.all = true;
    putTorrent(await post("v1/torrents", { ...body, ...what }));
  };

  const submit = async () => {
    const body = { paused: options.paused, labels: options.labels.split(",").map((l) => l.trim()).filter(Boolean) };
    if (options.dir.trim()) body.dir = options.dir.trim();
    if (options.category) body.category = options.category.trim();
    const done = new Map(); // by item: the target of the publication that it names, if it is followed
    const errors = await each(all, async (item) => done.set(item, await add(item, body)));
    if (errors.length) {
      setItems(all.filter((i) => !done.has(i)));
      setText("");
      const e = errors[0];
      throw new ApiError(e.status, (done.size ? `${format.plural(done.size, "torrent")} added, but: ` : "") + e.message, e.hint);
    }
    if (onlyFollows && all.length === 1) navigate(href("follows", done.get(all[0])));
    if (!isDone) toast(all.length === 1 ? `${onlyFollows ? "Following" : "Added"} ${format.name(inspection(all[0])?.name || titleOf(all[0]))}.` : `Added ${format.plural(all.length, "torrent")}.`);
  };

  const isEmpty = items.some((i) => choice(i).select?.size === 0);
  return html`<${Dialog} title="Add torrents" close=${close} wide action=${all.length > 1 ? `${verb} ${all.length}` : verb} ready=${all.length > 0 && !isEmpty} submit=${submit}>
    ${items.length > 0 &&
    html`<ul class="to-add">
      ${items.map((item, i) => html`<${Item} key=${item} item=${item} known=${inspections.of(item)} choice=${choice(item)} isOpen=${items.length === 1}
        accept=${() => inspections.accept(item)} setChoice=${(c) => setChoices((old) => new Map(old).set(item, c))} close=${close} leaveOut=${items.length > 1 && (() => leaveOut(item))} />`)}
    </ul>`}
    <label class="field"
      >${items.length ? "More links" : "Magnet links, infohashes, or the domain of a publication"}
      <textarea data-focus rows=${items.length ? 1 : 4} value=${text} onInput=${onText} spellcheck="false" placeholder="magnet:?xt=urn:btih:…"></textarea>
      <small>${text.trim() && findLinks(text).length === 0 ? "There is no magnet link in this text yet." : "One per line. .torrent files can be dropped anywhere on the page."}</small>
    </label>
    <div class="fields">
      <label class="field">Folder<input value=${options.dir} placeholder=${node.value?.dir || ""} list="add-folders" onInput=${(e) => set({ dir: e.target.value })} spellcheck="false" autocomplete="off" /></label>
      ${!onlyFollows && html`<label class="field">Category<input value=${options.category} list="add-categories" onInput=${(e) => set({ category: e.target.value })} autocomplete="off" /></label>
      <label class="field">Labels<input value=${options.labels} placeholder="separated by commas" onInput=${(e) => set({ labels: e.target.value })} autocomplete="off" /></label>`}
      ${follows.length > 0 && !isDone && html`<${Interval} value=${options.poll} set=${(poll) => set({ poll })} />`}
    </div>
    ${!isDone && html`<${Space} dir=${options.dir} category=${options.category} size=${size} isPart=${all.some((i) => !inspection(i)?.has_metadata)} />`}
    <datalist id="add-folders">${folders.map((f) => html`<option value=${f} />`)}</datalist>
    <datalist id="add-categories">${categories.map((c) => html`<option value=${c} />`)}</datalist>
    ${!onlyFollows && html`<label class="check"><input type="checkbox" checked=${options.paused} onChange=${(e) => set({ paused: e.target.checked })} /> Do not start yet</label>`}
  </${Dialog}>`;
}
