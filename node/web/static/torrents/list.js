// The list of torrents: only the rows in view are in the document, so that its length costs nothing.
import { classes, html, memo, useLayoutEffect, useRef } from "../html.js";
import * as format from "../format.js";
import { Icon } from "../ui/icon.js";
import { useWindow } from "../ui/window.js";
import { columns, sortBy } from "./columns.js";
import { share, tone, why, word } from "./status.js";

const rowHeight = 32; // px, as in the style sheet
const compactHeight = 60;
const isCompact = (width) => width < 700; // px
const heightOf = (width) => (isCompact(width) ? compactHeight : rowHeight);

/** rowId returns the id of the row of a torrent in the document. */
export const rowId = (hash) => "row-" + hash;

/**
 * List shows torrents. selection is of selection.js. onRow(event, torrent) is called for a click, onOpen(torrent) for a double
 * click, onMenu(event, torrent) for a right click, and onDrag(from, to) with infohashes while the mouse is dragged over rows.
 */
export function List({ torrents, layout, selection, onRow, onOpen, onDrag, onMenu, label }) {
  const view = useWindow(heightOf);
  const { frame, measure } = view;
  const compact = isCompact(view.width);
  const height = heightOf(view.width);

  // Keeps the row of the keyboard in view.
  const current = selection.current;
  useLayoutEffect(() => {
    const i = current === null ? -1 : torrents.findIndex((t) => t.infohash === current);
    if (i < 0) return;
    const f = frame.current;
    const head = compact ? 0 : rowHeight;
    if (i * height < f.scrollTop) f.scrollTop = i * height;
    else if ((i + 1) * height + head > f.scrollTop + f.clientHeight) f.scrollTop = (i + 1) * height + head - f.clientHeight;
  }, [current, height]);

  const shown = columns.filter((c) => layout.columns.includes(c.id));
  const template = shown.map((c) => (typeof c.width === "number" ? `${c.width}px` : c.width)).join(" ");
  const first = Math.max(0, Math.min(view.first, torrents.length - view.count));
  const rows = torrents.slice(first, first + view.count);

  const at = (e) => torrents.find((t) => rowId(t.infohash) === e.target.closest(".rows .row")?.id);
  const on = (f) => (e) => {
    const t = at(e);
    if (t) f(e, t);
  };
  const drag = useRef({}); // {from, to}: infohashes, while the button is down
  const onMouseDown = (e) => {
    const hash = e.button === 0 && !e.shiftKey && !e.ctrlKey && !e.metaKey ? at(e)?.infohash : undefined;
    drag.current = { from: hash, to: hash };
  };
  const onMouseUp = () => (drag.current = {});
  const onMouseOver = (e) => {
    const d = drag.current;
    if (e.buttons !== 1) return onMouseUp(); // it went up elsewhere
    const to = d.from && at(e)?.infohash;
    if (!to || to === d.to) return;
    d.to = to;
    onDrag(d.from, to);
  };

  // A row that leaves the view on one side is used for the one that enters it on the other.
  const isInView = rows.some((t) => t.infohash === current);
  return html`<div ref=${frame} class=${classes("list", compact && "list-compact")} role="grid" tabindex="0" aria-label=${label} aria-multiselectable="true"
    aria-rowcount=${torrents.length + 1} aria-colcount=${shown.length} aria-activedescendant=${isInView ? rowId(current) : undefined} onScroll=${measure}
    style=${{ "--columns": template }}>
    <${Head} shown=${shown} sort=${layout.sort} down=${layout.down} />
    <div class="rows" role="rowgroup" style=${{ height: torrents.length * height + "px" }} onMouseDown=${onMouseDown} onMouseOver=${onMouseOver} onMouseUp=${onMouseUp}
      onClick=${on(onRow)} onDblClick=${on((_, t) => onOpen(t))} onContextMenu=${on(onMenu)}>
      ${rows.map((t, i) => html`<${Row} key=${(first + i) % view.count} t=${t} index=${first + i} top=${(first + i) * height} shown=${layout.columns} compact=${compact}
        selected=${selection.selected.has(t.infohash)} current=${t.infohash === current} />`)}
    </div>
  </div>`;
}

const Head = memo(({ shown, sort, down }) => html`<div class="list-head" role="rowgroup"><div class="row" role="row" aria-rowindex="1">
  ${shown.map((c, i) => html`<span role="columnheader" aria-colindex=${i + 1} class=${c.end ? "end" : ""} aria-sort=${sort === c.id ? (down ? "descending" : "ascending") : "none"}>
    <button type="button" class="sort" tabindex="-1" onClick=${() => sortBy(c.id)}>${c.title}${sort === c.id && html`<${Icon} name=${down ? "down" : "up"} />`}</button>
  </span>`)}
</div></div>`);

const Row = memo(({ t, index, top, shown, compact, selected, current }) => html`<div
  id=${rowId(t.infohash)} class=${classes("row", selected && "selected", current && "current")} role="row" aria-rowindex=${index + 2} aria-selected=${String(selected)}
  style=${{ transform: `translateY(${top}px)` }}>
  ${compact ? html`<${Compact} t=${t} />` : cells(t, shown)}
</div>`);

const cells = (t, shown) =>
  columns.filter((c) => shown.includes(c.id)).map((c, i) => html`<span role="gridcell" aria-colindex=${i + 1} class=${c.end ? "end" : ""}>${c.cell(t)}</span>`);

/** Compact is a row of two lines for narrow screens. */
function Compact({ t }) {
  const rates = [t.down_rate > 0 && "↓ " + format.rate(t.down_rate), t.up_rate > 0 && "↑ " + format.rate(t.up_rate)].filter(Boolean).join("  ");
  return html`<span role="gridcell" class="compact">
    <span class="name">${format.name(t.name)}</span>
    <span class=${"bar bar-" + tone(t)}><span style=${{ transform: `scaleX(${share(t)})` }}></span></span>
    <span class="compact-line">
      <span class=${"state tone-" + tone(t)}><b>${word(t)}</b> <span class="why">${rates || format.name(why(t))}</span></span>
      <span class="number">${t.size > 0 && `${format.percent(share(t))} of ${format.size(t.wanted || t.size)}`}</span>
    </span>
  </span>`;
}
