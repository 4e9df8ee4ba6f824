// One line that says what a torrent does or why it does not move, and what to do.
import * as format from "../format.js";
import { hasError, tone, why, word } from "../torrents/status.js";

const sentence = (s) => (s ? s[0].toUpperCase() + s.slice(1).replace(/\.$/, "") + "." : "");

const unreachable = ["no_nodes", "no_interface", "no_proxy", "no_relay", "no_route", "no_dns", "no_answer"]; // kinds of reason.lookup

/**
 * explain returns {word, tone, text, hint, action} of a torrent. action is the id of the action that helps, "doctor", or "".
 */
export function explain(t) {
  const [text, hint, action] = lines(t);
  return { word: word(t), tone: tone(t), text: sentence(text), hint: sentence(hint), action };
}

function lines(t) {
  if (hasError(t)) return [why(t) || "an error has stopped it", t.fault?.hint || t.hint, "resume"];
  if (t.finished) return [t.why || "a seeding goal has stopped it", t.hint, "resume"];
  switch (t.state) {
    case "paused":
      return [t.complete ? "paused: nothing is shared" : "paused: nothing is downloaded or shared", "", "resume"];
    case "queued":
      return [t.why || "waits for its place in the queue", t.hint, "start"];
    case "checking":
      return [t.to_check ? `${format.size(t.checked || 0)} of ${format.size(t.to_check)} of the data on disk checked` : "opening the files", ""];
    case "moving":
      return [`the data moves to ${t.move_to || "another folder"}`, ""];
    case "removing":
      return ["its files are being closed and removed", ""];
    case "parked":
      return ["complete and announced; it starts when a peer connects", ""];
    case "seeding":
      return [t.up_rate > 0 ? `sending ${format.rate(t.up_rate)} to ${format.plural(t.peers, "connected peer")}` : seedsIdle(t), ""];
  }
  if (t.down_rate > 0) {
    const left = t.left_s === undefined ? "" : `; ${format.span(t.left_s)} left`;
    return [`receiving ${format.rate(t.down_rate)} from ${format.plural(t.peers, "connected peer")}${left}`, ""];
  }
  return [why(t) || "starting", t.hint, unreachable.includes(t.reason?.lookup?.kind) ? "doctor" : ""];
}

const seedsIdle = (t) => (t.peers > 0 ? `complete; none of ${format.plural(t.peers, "connected peer")} asks for data now` : "complete; no peer is connected now");
