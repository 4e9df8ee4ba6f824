// Which torrents are selected, by infohash, and where the keyboard is.

export const empty = { selected: new Set(), current: null, anchor: null };

const at = (list, hash) => list.findIndex((t) => t.infohash === hash);

/** only selects one torrent. */
export const only = (hash) => ({ selected: new Set([hash]), current: hash, anchor: hash });

/** toggle adds a torrent to the selection, or takes it out. */
export function toggle(s, hash) {
  const selected = new Set(s.selected);
  if (!selected.delete(hash)) selected.add(hash);
  return { selected, current: hash, anchor: hash };
}

/** extend selects everything from the anchor to a torrent. */
export function extend(s, list, hash) {
  const from = Math.max(0, at(list, s.anchor));
  const to = at(list, hash);
  const range = list.slice(Math.min(from, to), Math.max(from, to) + 1);
  return { selected: new Set(range.map((t) => t.infohash)), current: hash, anchor: s.anchor ?? list[from]?.infohash };
}

/** all selects the whole list. */
export const all = (s, list) => ({ ...s, selected: new Set(list.map((t) => t.infohash)) });

/** move goes by a number of rows; with extending, it selects what lies between, and with keeping, nothing changes but the place. */
export function move(s, list, by, { extending = false, keeping = false } = {}) {
  if (list.length === 0) return s;
  const now = at(list, s.current);
  const from = now >= 0 ? now : by > 0 ? -1 : list.length;
  const to = list[Math.max(0, Math.min(list.length - 1, from + by))].infohash;
  if (extending) return extend(s, list, to);
  return keeping ? { ...s, current: to } : only(to);
}

/** present takes torrents that no longer exist out of the selection. The keyboard is then at the next one in list, which still has them. */
export function present(s, torrents, list) {
  if ([...s.selected].every((hash) => torrents.has(hash)) && (s.current === null || torrents.has(s.current))) return s;
  const selected = new Set([...s.selected].filter((hash) => torrents.has(hash)));
  const i = at(list, s.current);
  const isThere = (t) => torrents.has(t.infohash);
  const current = i < 0 ? null : (list.slice(i).find(isThere) || list.slice(0, i).findLast(isThere))?.infohash ?? null;
  return { selected, current, anchor: torrents.has(s.anchor) ? s.anchor : current };
}
