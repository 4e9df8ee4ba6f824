// The state of the daemon as the page knows it: read once, then kept up to date by the event stream.
import { ApiError, get } from "./api.js";
import { readEvents } from "./events.js";
import { Observable } from "./observable.js";
import { checkVersion } from "./version.js";

/** torrents is all torrents by infohash. A torrent that has changed is another object. */
export const torrents = new Map();

/** loaded says whether the list of torrents is complete. */
export const loaded = new Observable(false);

/** connection is how the page reaches the daemon: state is connecting, live or offline; retry is when it tries again. */
export const connection = new Observable({ state: "connecting" });

/** node is the answer of /v1/node, or null. */
export const node = new Observable(null);

/** jobs is the jobs of the daemon by number. */
export const jobs = new Observable(new Map());

/** log is the last events that are neither changes nor jobs, oldest first. */
export const log = new Observable([]);
const maxLog = 1000;

const pageSize = 500;
const pollEvery = 2000;
const silentFor = 15000; // the daemon sends something every second
const retryFirst = 500;
const retryLast = 10000;

// Changes are collected and handed out in a frame.
let changed = new Set();
let removed = new Set();
let scheduled = false;
let flushed = 0; // when
const flushEvery = 80; // ms; a session in which everything changes must not keep the page from being used
const listeners = new Set();

/** onTorrents calls f(changed, removed) with sets of infohashes, at most every 80 ms. It returns a function that ends this. */
export function onTorrents(f) {
  listeners.add(f);
  return () => listeners.delete(f);
}

function schedule() {
  if (scheduled) return;
  scheduled = true;
  const wait = flushed + flushEvery - performance.now();
  // A hidden page has no frames.
  if (document.hidden) setTimeout(flush, 500);
  else if (wait > 0) setTimeout(() => requestAnimationFrame(flush), wait);
  else requestAnimationFrame(flush);
}

function flush() {
  scheduled = false;
  flushed = performance.now();
  const [c, r] = [changed, removed];
  changed = new Set();
  removed = new Set();
  for (const f of [...listeners]) f(c, r);
}

function put(t) {
  torrents.set(t.infohash, t);
  changed.add(t.infohash);
  removed.delete(t.infohash);
}

function drop(hash) {
  if (!torrents.delete(hash)) return;
  removed.add(hash);
  changed.delete(hash);
}

function apply(c) {
  for (const t of c.changed || []) put(t);
  for (const hash of c.removed || []) drop(hash);
  if (c.resync) {
    const present = new Set((c.changed || []).map((t) => t.infohash));
    for (const hash of [...torrents.keys()]) if (!present.has(hash)) drop(hash);
  }
  schedule();
}

/** putTorrent notes the torrent in the answer of an operation, so that the list shows it at once. */
export function putTorrent(t) {
  if (!t || !t.infohash) return;
  put(t);
  schedule();
}

function handle(event, data) {
  switch (event) {
    case "changes":
      cursor = data.cursor;
      apply(data);
      return;
    case "job":
      jobs.value.set(data.number, data);
      jobs.notify();
      return;
  }
  log.value.push({ ...data, event });
  if (log.value.length > maxLog) log.value.splice(0, log.value.length - maxLog);
  log.notify();
}

let cursor = null; // of the last changes; null: the list was not read
let running = null; // the AbortController of the connection

/** start keeps the state up to date until stop. */
export function start() {
  if (running) return;
  running = new AbortController();
  run(running.signal);
  poll(running.signal);
}

/** stop ends the connection and forgets everything. */
export function stop() {
  if (!running) return;
  running.abort();
  running = null;
  cursor = null;
  for (const hash of [...torrents.keys()]) drop(hash);
  loaded.set(false);
  node.set(null);
  jobs.set(new Map());
  log.set([]);
  connection.set({ state: "connecting" });
  schedule();
}

/** readTorrents reads all torrents and hands each to note. It returns the cursor from which to read the changes made since. */
async function readTorrents(note, signal) {
  let first = null;
  for (let after = 0, more = true; more; ) {
    const page = await get(`v1/torrents?limit=${pageSize}&after=${after}`, { signal, within: silentFor });
    first ??= page.cursor;
    for (const t of page.torrents) note(t);
    after = page.torrents.at(-1)?.number ?? after;
    more = page.more;
    schedule();
  }
  return first;
}

/** readPlaces reads all torrents again: a torrent that moves in the queue changes the places of others, and these have no events. */
export const readPlaces = () => readTorrents((t) => torrents.has(t.infohash) && put(t), running.signal);

async function readList(signal) {
  cursor = await readTorrents(put, signal);
  performance.mark("torrents-read");
  loaded.set(true);
}

/**
 * readJobs reads the jobs when the event stream is open, since it has only changes. An event may come before the answer. Jobs that the
 * daemon does not know any more ended with an earlier run of it.
 */
async function readJobs(signal) {
  const gone = new Set(jobs.value.keys());
  try {
    const list = await get("v1/jobs", { signal, within: silentFor });
    for (const j of list.jobs) {
      gone.delete(j.number);
      if (j.status !== "running" || !jobs.value.has(j.number)) jobs.value.set(j.number, j);
    }
    for (const number of gone) jobs.value.delete(number);
    jobs.notify();
  } catch {
    // the stream fails too, and is opened again
  }
}

async function run(signal) {
  for (let wait = retryFirst; !signal.aborted; ) {
    let error = null;
    try {
      if (cursor === null) await readList(signal);
      await listen(signal, () => {
        wait = retryFirst;
        connection.set({ state: "live" });
        readJobs(signal);
        checkVersion(signal);
      });
    } catch (e) {
      error = e;
    }
    if (signal.aborted || (error instanceof ApiError && error.status === 401)) return;
    const delay = wait * (0.75 + Math.random() / 2);
    connection.set({ state: "offline", retry: Date.now() + delay, error });
    await pause(delay, signal);
    wait = Math.min(wait * 2, retryLast);
  }
}

/** listen reads the event stream and throws when nothing has come for too long. */
async function listen(signal, opened) {
  const stream = new AbortController();
  const abort = () => stream.abort();
  signal.addEventListener("abort", abort);
  let timer = 0;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(abort, silentFor);
  };
  alive();
  try {
    await readEvents(cursor, { signal: stream.signal, handle, alive, opened });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

let wake = () => {};

/** retryNow connects again without waiting. */
export function retryNow() {
  wake();
}
addEventListener("online", () => wake());
document.addEventListener("visibilitychange", () => document.hidden || wake());

function pause(ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    wake = () => {
      clearTimeout(timer);
      done();
    };
    signal.addEventListener("abort", wake, { once: true });
  });
}

/** poll reads the state of the node, and so keeps the session in use. */
async function poll(signal) {
  while (!signal.aborted) {
    try {
      node.set(await get("v1/node", { signal, within: silentFor }));
    } catch {
      // run shows that the daemon does not answer
    }
    await new Promise((done) => setTimeout(done, pollEvery));
  }
}
