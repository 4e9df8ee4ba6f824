// The rates and peers of the torrents since the page was opened, for the plots.
import { onTorrents, torrents } from "../store.js";

const keepFor = 3600; // s
const maxTorrents = 200; // those that changed last

// By infohash; the one that changed last comes last. Values hold until the next sample.
const rings = new Map();

// The plots begin here.
const opened = Math.floor(Date.now() / 1000);
const names = ["down", "up", "peers", "seeds"];
const begin = () => ({ time: [opened], down: [0], up: [0], peers: [0], seeds: [0] });

const now = () => Math.floor(Date.now() / 1000);

/** sample notes the state of the torrents that have changed, once a second. Torrents that were never active are left out. */
function sample(changed, removed) {
  for (const hash of removed) rings.delete(hash);
  const time = now();
  for (const hash of changed) {
    const t = torrents.get(hash);
    let r = rings.get(hash);
    if (!t || (!r && !t.down_rate && !t.up_rate && !t.peers)) continue;
    r ??= begin();
    rings.delete(hash);
    rings.set(hash, r);
    add(r, time, t);
  }
  for (const hash of rings.keys()) {
    if (rings.size <= maxTorrents) break;
    rings.delete(hash);
  }
}

function add(r, time, t) {
  const last = r.time.length - 1;
  const at = r.time[last] >= time ? last : last + 1; // the clock may go back
  if (at > last) r.time[at] = time;
  r.down[at] = t.down_rate;
  r.up[at] = t.up_rate;
  r.peers[at] = t.peers;
  r.seeds[at] = t.seeds;
  // Rarely, so that it costs little: the arrays move as a whole.
  if (r.time[at] - r.time[0] > keepFor * 1.1) {
    const old = r.time.findIndex((x) => x >= time - keepFor);
    for (const list of Object.values(r)) list.splice(0, old);
  }
}

onTorrents(sample);

/** samplesOf returns {time, down, up, peers, seeds} of a torrent up to now: arrays of equal length, times in Unix seconds. */
export function samplesOf(t) {
  const r = rings.get(t.infohash) || begin();
  const time = Math.max(now(), r.time.at(-1) + 1);
  const from = Math.max(0, r.time.findIndex((x) => x >= time - keepFor));
  const out = { time: [...r.time.slice(from), time] };
  for (const name of names) out[name] = [...r[name].slice(from), r[name].at(-1)];
  return out;
}
