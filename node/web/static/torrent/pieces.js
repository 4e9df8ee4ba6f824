// The map of the pieces of a torrent, here and at its peers.
import * as format from "../format.js";
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { useResource } from "../resource.js";
import { Empty, ErrorText, Loading } from "../ui/message.js";
import { isDark, useMedia } from "../ui/media.js";
import { colours, draw, drawPeers, gridFor, hasPeers, rangeOf, within, zoom } from "./piecemap.js";

const every = 2000; // ms
const stripHeight = 36; // px

export function Pieces({ torrent }) {
  const frame = useRef();
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const measure = () => setWidth(Math.floor(frame.current.clientWidth));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(frame.current);
    return () => observer.disconnect();
  }, []);
  return html`<div ref=${frame} class="pieces">${width > 0 && html`<${Loader} torrent=${torrent} width=${width} />`}</div>`;
}

function Loader({ torrent, width }) {
  // The first answer says how many pieces there are, and so how many ranges are to be told apart.
  const [count, setCount] = useState(0);
  const [part, setPart] = useState(null); // the pieces in view, {from, to}; null: all
  const last = useRef(null);
  const view = part || { from: 0, to: count || 1 };
  const { buckets } = gridFor(view.to - view.from, width);
  const { data, error } = useResource(`v1/torrents/${torrent.infohash}/pieces?buckets=${buckets}&from=${view.from}&to=${view.to}`, every);
  useLayoutEffect(() => {
    if (data) setCount(data.pieces);
  }, [data?.pieces]);
  if (data?.pieces === 0) return html`<${Empty} title="The pieces are not known yet"><p>They come with the metadata, which a peer sends. Overview says why there is none.</p></${Empty}>`;
  // What was in view stays until the next part has arrived, so that the keyboard keeps its place.
  if (data?.buckets.from.length === buckets) last.current = data;
  if (!last.current) return error ? html`<${ErrorText} error=${error} />` : html`<${Loading} what="the pieces" />`;
  return html`<${Map} map=${last.current} width=${width} asked=${view} setPart=${setPart} />`;
}

/** summary says in words what the map shows. */
function summary(map) {
  const b = map.buckets;
  const sum = (l) => l.reduce((a, n) => a + n, 0);
  const have = sum(b.have);
  const size = b.to - b.from[0];
  const parts = [`${format.number(have)} of ${format.plural(size, "piece")} verified`];
  const begun = sum(b.begun);
  if (begun > 0) parts.push(`${format.number(begun)} being downloaded`);
  if (hasPeers(map)) {
    parts.push(`the connected peers have ${map.copies.toFixed(2)} copies`);
    if (have < size && b.peers.some((n, i) => n === 0 && rangeOf(map, i).have < rangeOf(map, i).to - rangeOf(map, i).from)) parts.push("no peer has some of the missing pieces");
  } else parts.push("no connected peer has any");
  const where = size < map.pieces ? `Pieces ${format.number(b.from[0])} to ${format.number(b.to - 1)} of ${format.number(map.pieces)}: ` : "";
  return where + parts.join("; ") + ".";
}

/** scale says what a square stands for. */
function scale({ buckets: b }) {
  const count = b.from.length;
  const [least, most] = [Math.floor, Math.ceil].map((round) => round((b.to - b.from[0]) / count));
  if (most === 1) return "A square is one piece.";
  return `A square is ${least < most ? `${format.number(least)} or ` : ""}${format.plural(most, "piece")}.`;
}

function describe(r) {
  const size = r.to - r.from;
  const peers = r.peers === undefined ? "" : `; ${size === 1 ? "" : "the rarest is at "}${format.plural(r.peers, "peer")}${size === 1 ? " with it" : ""}`;
  if (size === 1) return `Piece ${format.number(r.from)}: ${r.have ? "verified" : r.begun ? "being downloaded" : "missing"}${peers}.`;
  return `Pieces ${format.number(r.from)} to ${format.number(r.to - 1)}: ${format.number(r.have)} of ${format.number(size)} verified${r.begun ? `, ${format.number(r.begun)} being downloaded` : ""}${peers}.`;
}

/** Map shows what has arrived. asked is the part that was asked for, from which the next one is computed. */
function Map({ map, width, asked, setPart }) {
  const dark = useMedia(isDark);
  const canvas = useRef();
  const strip = useRef();
  const [at, setAt] = useState(-1); // the piece that is marked, or -1
  const view = { from: map.buckets.from[0], to: map.buckets.to };
  const grid = gridFor(view.to - view.from, width);
  const count = map.buckets.from.length;
  const cursor = at < view.from || at >= view.to ? -1 : map.buckets.from.findLastIndex((from) => from <= at);
  const peered = hasPeers(map);
  const gridWidth = Math.min(count, grid.columns) * grid.cell - 1;
  const least = gridFor(Infinity, width).buckets; // a part of so many pieces has a square for each
  const isPart = asked.to - asked.from < map.pieces;
  const isScaled = asked.to - asked.from > least;

  useLayoutEffect(() => draw(canvas.current, map, grid, colours(canvas.current), cursor), [map, width, dark, cursor]);
  useLayoutEffect(() => {
    if (peered) drawPeers(strip.current, map, gridWidth, stripHeight, colours(strip.current));
  }, [map, width, dark]);

  const middle = () => (cursor >= 0 ? at : (asked.from + asked.to) / 2);
  const look = (out, piece = middle()) => (out ? isPart : isScaled) && setPart(zoom(asked, piece, out, map.pieces, least));
  const move = (by) => {
    const size = (asked.to - asked.from) * by;
    setPart(within({ from: asked.from + size, to: asked.to + size }, map.pieces));
  };
  const rangeAt = (e) => {
    const r = canvas.current.getBoundingClientRect();
    const i = Math.floor((e.clientY - r.top) / grid.cell) * grid.columns + Math.floor((e.clientX - r.left) / grid.cell);
    return i >= 0 && i < count ? map.buckets.from[i] : -1;
  };
  const onClick = (e) => rangeAt(e) >= 0 && look(false, rangeAt(e));
  const onKeyDown = (e) => {
    const to = { ArrowRight: cursor + 1, ArrowLeft: cursor - 1, ArrowDown: cursor + grid.columns, ArrowUp: cursor - grid.columns, Home: 0, End: count - 1 }[e.key];
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (to !== undefined) setAt(map.buckets.from[Math.max(0, Math.min(count - 1, to))]);
    else if (["+", "=", "Enter"].includes(e.key)) look(false);
    else if (e.key === "-") look(true);
    else if (e.key === "PageDown" || e.key === "PageUp") isPart && move(e.key === "PageUp" ? -1 : 1);
    else return;
    e.preventDefault();
    e.stopPropagation();
  };
  const text = summary(map);
  return html`<p class="pieces-text">${text}</p>
    <ul class="pieces-legend" aria-label="Legend">
      <li><span class="key key-have"></span>Verified</li>
      <li><span class="key key-begun"></span>Being downloaded</li>
      <li><span class="key key-missing"></span>Missing</li>
      ${peered && html`<li><span class="key key-nowhere"></span>Missing, and no connected peer has it</li>`}
    </ul>
    <div class="pieces-bar">
      <span>${scale(map)}${isScaled && " Click one to zoom in."}</span>
      ${map.pieces > least && html`<div role="toolbar" aria-label="Part of the torrent">
        <${Tool} can=${isScaled} title="Zoom in" name="+" run=${() => look(false)}>+</${Tool}>
        <${Tool} can=${isPart} title="Zoom out" name="-" run=${() => look(true)}>−</${Tool}>
        <${Tool} can=${asked.from > 0} title="Earlier pieces" name="PageUp" run=${() => move(-1)}>←</${Tool}>
        <${Tool} can=${asked.to < map.pieces} title="Later pieces" name="PageDown" run=${() => move(1)}>→</${Tool}>
        <${Tool} can=${isPart} title="All pieces" run=${() => setPart(null)}>All</${Tool}>
      </div>`}
    </div>
    <div class="pieces-grid" role="application" tabindex="0" aria-label="Piece map: the arrow keys go through the pieces, plus and minus zoom" aria-describedby="piece-at" onKeyDown=${onKeyDown} onBlur=${() => setAt(-1)}>
      <canvas ref=${canvas} class=${isScaled ? "pieces-scaled" : ""} role="img" aria-label=${text} onClick=${onClick} onMouseMove=${(e) => setAt(rangeAt(e))} onMouseLeave=${() => setAt(-1)}></canvas>
    </div>
    <p id="piece-at" class="pieces-at muted" role="status">${cursor >= 0 ? describe(rangeOf(map, cursor)) : "Point at a square to see its pieces."}</p>
    ${peered && html`<h3>Connected peers that have the pieces</h3>
      <div class="pieces-strip"><canvas ref=${strip} role="img" aria-label=${`From the first piece to the last: between ${format.number(Math.min(...map.buckets.peers))} and ${format.plural(Math.max(...map.buckets.peers), "peer")} have the rarest piece.`}></canvas>
      <span class="muted">0 to ${format.plural(Math.max(...map.buckets.peers), "peer")}</span></div>`}`;
}

/** Tool is a button of the map. One that can do nothing now keeps the keyboard. */
const Tool = ({ can, title, name, run, children }) => html`<button aria-disabled=${String(!can)} aria-label=${title} title=${name ? `${title} (${name})` : title} onClick=${() => can && run()}>${children}</button>`;
