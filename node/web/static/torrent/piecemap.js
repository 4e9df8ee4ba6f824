// How the pieces of a torrent are laid out and drawn: a grid with a cell for each piece, or for a range of pieces if there are
// too many to be told apart, and below it a strip that says how many peers have what.

const cellSizes = [18, 14, 11]; // px with the gap: the largest that fits is taken
const gap = 1;
const maxRows = 24;
const maxBuckets = 4096; // of the REST interface

/** gridFor returns {cell, columns, buckets} for a number of pieces in a width in px. */
export function gridFor(pieces, width) {
  for (const cell of cellSizes) {
    const columns = Math.max(1, Math.floor(width / cell));
    const room = Math.min(maxBuckets, columns * maxRows);
    if (pieces <= room || cell === cellSizes.at(-1)) return { cell, columns, buckets: Math.min(pieces, room) };
  }
}

const step = 8; // the factor of one zoom step

/**
 * zoom returns the part of a torrent, {from, to}, that is step times shorter than view, or step times longer if out, with the
 * piece at in its middle. No part is shorter than least.
 */
export function zoom(view, at, out, pieces, least) {
  const size = Math.max(least, Math.round((view.to - view.from) * (out ? step : 1 / step)));
  return within({ from: at - size / 2, to: at + size / 2 }, pieces);
}

/** within moves a part of a torrent into the torrent, and cuts what is too long. */
export function within({ from, to }, pieces) {
  const size = Math.min(pieces, Math.round(to - from));
  const first = Math.max(0, Math.min(pieces - size, Math.round(from)));
  return { from: first, to: first + size };
}

/** rangeOf returns {from, to, have, begun, peers} of range i; peers is undefined if it is not known. */
export function rangeOf(map, i) {
  const b = map.buckets;
  const to = i + 1 < b.from.length ? b.from[i + 1] : b.to;
  return { from: b.from[i], to, have: b.have[i], begun: b.begun[i], peers: b.peers?.[i] };
}

/** colours returns the colours of the style sheet, which differ between light and dark. */
export function colours(element) {
  const style = getComputedStyle(element);
  const of = (name) => style.getPropertyValue(name).trim();
  return { have: of("--accent"), begun: of("--warn"), missing: of("--line"), nowhere: of("--danger"), text: of("--text"), peers: of("--chart-2") };
}

/** hasPeers reports whether a connected peer has any piece. */
export const hasPeers = (map) => map.buckets.peers.some((n) => n > 0);

/** draw draws the grid. cursor is the range that is marked, or -1. */
export function draw(canvas, map, grid, c, cursor) {
  const count = map.buckets.from.length;
  const rows = Math.ceil(count / grid.columns);
  const g = sized(canvas, grid.columns * grid.cell, rows * grid.cell);
  const side = grid.cell - gap;
  const showsNowhere = hasPeers(map);
  for (let i = 0; i < count; i++) {
    const r = rangeOf(map, i);
    const x = (i % grid.columns) * grid.cell;
    const y = Math.floor(i / grid.columns) * grid.cell;
    const size = r.to - r.from;
    g.fillStyle = c.missing;
    g.fillRect(x, y, side, side);
    // From below, so that a range fills like a glass.
    fill(g, c.have, x, y, side, 0, r.have / size);
    fill(g, c.begun, x, y, side, r.have / size, r.begun / size);
    if (showsNowhere && r.peers === 0 && r.have < size) {
      g.strokeStyle = c.nowhere;
      g.lineWidth = 1.5;
      g.strokeRect(x + 0.75, y + 0.75, side - 1.5, side - 1.5);
    }
    if (i === cursor) {
      g.strokeStyle = c.text;
      g.lineWidth = 2;
      g.strokeRect(x + 1, y + 1, side - 2, side - 2);
    }
  }
}

function fill(g, colour, x, y, side, below, share) {
  if (share <= 0) return;
  // Something is always seen of what there is, and of what lacks.
  const height = share >= 1 ? side : Math.max(1, Math.min(side - 1, Math.round(side * share)));
  g.fillStyle = colour;
  g.fillRect(x, y + Math.max(0, side - Math.round(side * below) - height), side, height);
}

/** drawPeers draws the strip: from the first piece to the last, as high as many peers have the rarest piece there. */
export function drawPeers(canvas, map, width, height, c) {
  const g = sized(canvas, width, height);
  const { peers } = map.buckets;
  const most = Math.max(1, ...peers);
  for (let x = 0; x < width; x++) {
    const from = Math.floor((x / width) * peers.length);
    const to = Math.max(from + 1, Math.floor(((x + 1) / width) * peers.length));
    let least = Infinity;
    let isMissing = false;
    for (let i = from; i < to; i++) {
      const r = rangeOf(map, i);
      least = Math.min(least, r.peers);
      isMissing ||= r.peers === 0 && r.have < r.to - r.from;
    }
    g.fillStyle = isMissing ? c.nowhere : c.peers;
    const h = Math.max(isMissing || least > 0 ? 3 : 0, Math.round((height * least) / most));
    g.fillRect(x, height - h, 1, h);
  }
}

/** sized sets the size of a canvas in px of the style sheet and returns its context, which is empty. */
function sized(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = width + "px";
  canvas.style.height = height + "px";
  const g = canvas.getContext("2d");
  g.scale(ratio, ratio);
  return g;
}
