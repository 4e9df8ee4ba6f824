// The state of a torrent in a word, and in one short line why it does not move.

const words = {
  adding: "Adding",
  queued: "Waiting",
  metadata: "Metadata",
  checking: "Checking",
  downloading: "Downloading",
  seeding: "Seeding",
  parked: "Seeding",
  paused: "Paused",
  missing: "Data missing",
  moving: "Moving",
  failed: "Failed",
  removing: "Removing",
};

/** hasError reports whether an error has stopped a torrent. */
export const hasError = (t) => t.state === "failed" || t.state === "missing" || Boolean(t.fault);

/** word returns the state of a torrent in a word. */
export function word(t) {
  if (t.fault && t.state !== "failed" && t.state !== "missing") return "Error";
  if (t.state === "paused" && t.finished) return "Finished";
  if (t.state === "downloading" && t.down_rate === 0) return "Stalled";
  return words[t.state] || t.state;
}

/** tone returns the colour of the state: error, active, done or quiet. */
export function tone(t) {
  if (hasError(t)) return "error";
  if (t.state === "downloading" && t.down_rate > 0) return "active";
  if (t.up_rate > 0) return "active";
  return t.complete ? "done" : "quiet";
}

/** why returns in one line why a torrent does not move, or "". The word before it says already that a torrent waits. */
export const why = (t) => t.fault?.error || (t.why || "").replace(/^waiting: /, "");

/** share returns how much of the wanted data there is, from 0 to 1; while data is checked, how much of it is. */
export function share(t) {
  if (t.state === "checking" && t.to_check) return (t.checked || 0) / t.to_check;
  if (t.wanted > 0) return t.have / t.wanted;
  return t.complete ? 1 : 0;
}
