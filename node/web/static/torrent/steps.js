// The steps from a link to the data: where a torrent is, and what has happened at each.
import * as format from "../format.js";
import { html } from "../html.js";
import { useResource } from "../resource.js";

const every = 2000; // ms

const stopped = ["off", "private", "no_nodes", "no_interface", "no_proxy", "no_relay", "no_route", "no_dns", "no_answer"]; // lookups that find nothing

/** stepsOf returns the steps of a torrent with its activity: {title, state, text}; state is done, now, failing or later. */
function stepsOf(t, a) {
  const runs = !t.fault && ["metadata", "downloading", "seeding"].includes(t.state);
  return [
    { title: "Find peers", ...findPeers(a, runs) },
    { title: "Connect", ...connect(a, runs) },
    { title: "Metadata", ...metadata(t, a, runs) },
    { title: "Data", ...pieces(t, a, runs) },
    { title: "Share", ...share(t, runs) },
  ];
}

const joined = (...parts) => parts.filter(Boolean).join("; ");

function findPeers(a, runs) {
  const { known, connected } = a.peers;
  const text = joined(known > 0 && `${format.plural(known, "address", "addresses")} known`, runs && lookup(a.lookup), runs && lastLookup(a.lookup?.last));
  if (!runs) return { state: "later", text };
  if (known > 0 || connected > 0) return { state: "done", text };
  return { state: stopped.includes(a.lookup?.kind) ? "failing" : "now", text: text || "no address is known yet" };
}

function lookup(l) {
  switch (l?.kind) {
    case "private":
      return "private: only named peers are tried";
    case "off":
      return "the DHT is off: only named peers are tried";
    case "no_nodes":
      return "no DHT node is known";
    case "bootstrapping":
      return `entering the DHT through ${format.plural(l.asked, "host")}`;
    case "no_interface":
      return "waiting for the network interface";
    case "no_proxy":
      return "the proxy cannot be used";
    case "no_relay":
      return "the proxy relays no datagrams: the DHT is silent";
    case "no_route":
    case "no_dns":
      return "no network";
    case "no_answer":
      return `none of ${format.plural(l.asked, "bootstrap host")} answers`;
    case "running":
      return `DHT lookup: ${format.plural(l.asked, "node")} asked`;
    case "waiting":
      return `next DHT lookup in ${format.span(l.next_s)}`;
  }
  return "";
}

const lastLookup = (l) => l && `the last one: ${format.number(l.answered)} of ${format.plural(l.asked, "node")} answered, ${format.plural(l.peers, "peer")} found`;

const causes = { refused: "refused", timed_out: "did not answer", unreachable: "not reachable", closed: "hung up", other_torrent: "have another torrent", other: "failed otherwise" };

const answers = (failed) => Object.entries(failed).filter(([, n]) => n > 0).map(([cause, n]) => `${format.number(n)} ${causes[cause] || cause}`).join(", ");

function connect(a, runs) {
  const p = a.peers;
  if (!runs) return { state: "later", text: "" };
  const failed = answers(p.failed);
  const text = joined(
    p.connected > 0 && `${format.plural(p.connected, "peer")} connected, ${format.plural(p.seeds, "seed")} among them`,
    p.dialing > 0 && `connecting to ${format.plural(p.dialing, "peer")}`,
    p.dials > 0 && `of ${format.plural(p.dials, "attempt")} ${format.number(p.handshaken)} succeeded${failed && `, ${failed}`}`,
    p.banned > 0 && `${format.number(p.banned)} banned`,
  );
  if (p.connected > 0) return { state: "done", text };
  return { state: p.dialing > 0 ? "now" : p.tried > 0 ? "failing" : "later", text };
}

function metadata(t, a, runs) {
  const m = a.metadata;
  if (m.known) return { state: "done", text: `${format.size(t.size)} in ${format.plural(a.pieces.total, "piece")}` };
  if (m.size > 0) return { state: "now", text: `${format.size(m.have)} of ${format.size(m.size)} from ${format.plural(m.peers, "peer")}` };
  if (runs && t.reason.kind === "no_metadata") return { state: "failing", text: `none of ${format.plural(a.peers.connected, "peer")} has it` };
  return { state: runs && a.peers.connected > 0 ? "now" : "later", text: m.peers > 0 ? `asked ${format.plural(m.peers, "peer")}` : "" };
}

function pieces(t, a, runs) {
  const p = a.pieces;
  const text = joined(p.total > 0 && `${format.number(p.have)} of ${format.plural(p.total, "piece")} verified`, p.hash_fails > 0 && `${format.plural(p.hash_fails, "wrong piece")} discarded`);
  if (t.complete) return { state: "done", text };
  if (t.state === "checking") return { state: "now", text: `checking: ${format.size(t.checked || 0)} of ${format.size(t.to_check || 0)}` };
  if (runs && t.reason.kind === "choked") return { state: "failing", text: joined(text, `${format.number(a.peers.choked_by)} of ${format.plural(a.peers.connected, "peer")} not sending (choked)`) };
  if (runs && t.reason.kind === "missing_pieces") return { state: "failing", text: joined(text, `the peers have ${p.copies.toFixed(2)} copies`) };
  return { state: runs && p.total > 0 && a.peers.connected > 0 ? "now" : "later", text };
}

function share(t, runs) {
  const text = t.uploaded > 0 ? `${format.size(t.uploaded)} sent, ratio ${t.ratio.toFixed(2)}` : "";
  if (t.finished) return { state: "done", text };
  return { state: (runs || t.state === "parked") && t.complete ? "now" : "later", text };
}

const said = { done: "done", now: "now", failing: "held up", later: "later" };

export function Steps({ torrent }) {
  const { data, error } = useResource(`v1/torrents/${torrent.infohash}/activity`, every);
  if (!data) return html`<p class="muted" role="status">${error ? error.message : "Loading the steps…"}</p>`;
  return html`<ol class="torrent-steps" aria-label="Steps">
    ${stepsOf(torrent, data).map(
      (s) => html`<li class=${"torrent-step torrent-step-" + s.state} aria-current=${s.state === "now" || s.state === "failing" ? "step" : undefined}>
        <span class="torrent-step-mark" aria-hidden="true"></span><b>${s.title}</b><span class="hidden">, ${said[s.state]}: </span><span class="torrent-step-text">${s.text}</span>
      </li>`,
    )}
  </ol>`;
}
