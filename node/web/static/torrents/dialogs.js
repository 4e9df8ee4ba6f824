// The dialogs of actions on torrents.
import { get, patch, post, remove } from "../api.js";
import * as format from "../format.js";
import { html, useEffect, useState } from "../html.js";
import { torrents as all } from "../store.js";
import { Dialog, ask, openDialog } from "../ui/dialog.js";
import { toast } from "../ui/toast.js";
import { forAll, path } from "./requests.js";

const what = (torrents) => (torrents.length === 1 ? format.name(torrents[0].name) : format.plural(torrents.length, "torrent"));
const folders = () => [...new Set([...all.values()].map((t) => t.dir))].sort();

/** Names shows of which torrents a dialog speaks. */
const Names = ({ torrents }) => html`<ul class="names">
  ${torrents.slice(0, 5).map((t) => html`<li>${format.name(t.name)}</li>`)}
  ${torrents.length > 5 && html`<li class="muted">and ${format.plural(torrents.length - 5, "other")}</li>`}
</ul>`;

export function askMove(torrents) {
  ask({
    title: `Move ${what(torrents)}`,
    label: "New folder",
    value: torrents[0].dir,
    list: folders(),
    help: "A folder on the machine of the daemon, in a folder that --allow-path allows.",
    action: "Move",
    run: async (dir) => {
      await forAll(torrents, "Move", (t) => post(`${path(t)}/move`, { dir }));
      toast(`The data moves to ${dir}.`);
    },
  });
}

export function askRename([t]) {
  ask({
    title: "Rename",
    label: "Name of the torrent and of its file or folder",
    value: t.name,
    action: "Rename",
    run: (name) => forAll([t], "Rename", () => post(`${path(t)}/rename?wait=10`, { name })),
  });
}

export const askLabels = (torrents) => openDialog(Labels, { torrents });

function Labels({ close, torrents }) {
  const common = torrents[0].labels.filter((l) => torrents.every((t) => t.labels.includes(l)));
  const [labels, setLabels] = useState(common.join(", "));
  const [category, setCategory] = useState(torrents.every((t) => t.category === torrents[0].category) ? torrents[0].category || "" : null);
  const [categories, setCategories] = useState([]);
  useEffect(() => {
    get("v1/categories").then((l) => setCategories(l.categories.map((c) => c.name)), () => {}); // they are only suggestions
  }, []);
  const submit = () => {
    const wanted = labels.split(",").map((l) => l.trim()).filter(Boolean);
    return forAll(torrents, "Change", (t) => {
      const change = { labels: [...new Set([...t.labels.filter((l) => !common.includes(l)), ...wanted])] };
      if (category !== null) change.category = category.trim();
      return patch(path(t), change);
    });
  };
  return html`<${Dialog} title="Labels and category" close=${close} action="Save" submit=${submit}>
    <${Names} torrents=${torrents} />
    <label class="field">Labels<input data-focus value=${labels} onInput=${(e) => setLabels(e.target.value)} autocomplete="off" /><small>Separated by commas.</small></label>
    <label class="field">Category
      <input value=${category ?? ""} placeholder=${category === null ? "they have different ones" : ""} list="categories" onInput=${(e) => setCategory(e.target.value)} autocomplete="off" />
      <small>The data stays where it is.</small>
    </label>
    <datalist id="categories">${categories.map((c) => html`<option value=${c} />`)}</datalist>
  </${Dialog}>`;
}

export const askRemove = (torrents) => openDialog(Remove, { torrents });

function Remove({ close, torrents }) {
  const [data, setData] = useState(false);
  const submit = async () => {
    await forAll(torrents, "Remove", (t) => remove(`${path(t)}?delete_data=${data}`));
    toast(data ? `Removed ${what(torrents)} and the data.` : `Removed ${what(torrents)}. The data stays on disk.`);
  };
  return html`<${Dialog} title=${torrents.length === 1 ? "Remove the torrent?" : `Remove ${torrents.length} torrents?`} close=${close} danger
    action=${data ? "Remove and delete the data" : "Remove"} submit=${submit}>
    <${Names} torrents=${torrents} />
    <label class="check"><input data-focus type="checkbox" checked=${data} onChange=${(e) => setData(e.target.checked)} /> Also delete the files that were downloaded</label>
  </${Dialog}>`;
}
