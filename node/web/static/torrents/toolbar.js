// Above the list: actions on the selection, the search, the columns, and on narrow screens the filters.
import { classes, html } from "../html.js";
import * as format from "../format.js";
import { torrents as all } from "../store.js";
import { Icon } from "../ui/icon.js";
import { focusView } from "../ui/focus.js";
import { openMenuBelow } from "../ui/menu.js";
import { actions, canRun, menu, run } from "./actions.js";
import { columns, layout, sortBy, toggle } from "./columns.js";
import { count, filter, offered, passes } from "./filters.js";

const inBar = ["resume", "pause", "remove"].map((id) => actions.find((a) => a?.id === id));

const columnItems = () => [
  "Columns",
  ...columns.filter((c) => !c.fixed).map((c) => ({ title: c.title, checked: layout.value.columns.includes(c.id), run: () => toggle(c.id) })),
  ...sortItems(),
];
const sortItems = () => ["Sort by", ...columns.map((c) => ({ title: c.title, checked: layout.value.sort === c.id, run: () => sortBy(c.id) }))];

/** filterItems is the menu of a narrow page. It counts anew each time, since it stays open. */
const filterItems = () =>
  offered(count(all.values()), filter.value).flatMap(([title, list]) => [title, ...list.map((f) => ({ ...f, title: `${f.title} (${format.number(f.count)})` }))]).concat(sortItems());

/** Toolbar has the actions on torrents, which are selected. shown is how many the list shows, and selectAll selects these. */
export function Toolbar({ torrents, shown, selectAll }) {
  const f = filter.value;
  return html`<div class="toolbar" role="toolbar" aria-label="Torrents">
    ${inBar.map(
      (a) => html`<button disabled=${!canRun(a, torrents.length)} title=${`${a.title} (${a.keys[0]})`} onClick=${() => run(a, torrents)}><${Icon} name=${a.id} /><span>${a.title}</span></button>`,
    )}
    <button disabled=${torrents.length === 0} aria-label="More actions" title="More actions" onClick=${(e) => openMenuBelow(e.currentTarget, menu(torrents), "Actions")}><${Icon} name="more" /></button>
    <span class="selected-count" role="status">${torrents.length > 0 ? `${format.number(torrents.length)} selected` : shown < all.size ? `${format.number(shown)} of ${format.number(all.size)}` : format.plural(shown, "torrent")}</span>
    <label class="search"><span class="hidden">Search</span><${Icon} name="search" />
      <input id="search" type="search" placeholder="Search" value=${f.search} onInput=${(e) => filter.set({ ...filter.value, search: e.target.value })} onKeyDown=${(e) => (e.key === "Enter" || e.key === "ArrowDown") && focusView()} spellcheck="false" autocomplete="off" />
    </label>
    <button class=${classes("narrow-only", passes({ ...f, search: "" }) && "is-filtered")} aria-label="Filter and sort" title="Filter and sort" onClick=${(e) => openMenuBelow(e.currentTarget, () => [{ title: "Select all", disabled: shown === 0, run: selectAll }, ...filterItems()], "Filter and sort")}><${Icon} name="filter" /></button>
    <button class="wide-only" aria-label="Columns and order" title="Columns and order" onClick=${(e) => openMenuBelow(e.currentTarget, columnItems, "Columns and order")}><${Icon} name="columns" /></button>
  </div>`;
}
