// The connected peers of a torrent.
import * as format from "../format.js";
import { html } from "../html.js";
import { useResource } from "../resource.js";
import { Empty, ErrorText, Loading } from "../ui/message.js";
import { isNarrow, useMedia } from "../ui/media.js";
import { Table } from "../ui/table.js";
import { explain } from "./explain.js";

const every = 2000; // ms

const flags = [
  ["D", "it sends us data", (p) => p.we_want && !p.peer_chokes && !p.snubbed],
  ["d", "it has data for us and does not send now (it chokes us)", (p) => p.we_want && p.peer_chokes],
  ["U", "we send it data", (p) => p.peer_wants && !p.we_choke],
  ["u", "it wants data and we do not send now (we choke it)", (p) => p.peer_wants && p.we_choke],
  ["O", "it has the upload slot that is given regardless of what a peer sends", (p) => p.optimistic],
  ["S", "it does not answer our requests", (p) => p.snubbed],
  ["I", "it connected to us", (p) => p.incoming],
  ["P", "the connection is over uTP", (p) => p.transport === "utp"],
  ["h", "a third peer connected us, because it cannot be reached from outside (hole punching)", (p) => p.hole_punched],
  ["E", "the handshake was encrypted", (p) => p.encrypted],
  ["2", "it uses the v2 infohash", (p) => p.v2],
];
const flagsOf = (p) => flags.filter(([, , is]) => is(p));
const letters = (p) => flagsOf(p).map(([letter]) => letter).join(" ");

const sources = { dht: "DHT", pex: "peer exchange", hint: "named", last_run: "last run", incoming: "connected to us", lsd: "local network" };
const sourcesOf = (p) => (p.sources || []).map((s) => sources[s] || s).join(", ");

const Flags = ({ peer }) => html`<span class="flags">${flagsOf(peer).map(([letter, text]) => html`<abbr key=${letter} title=${text}><span aria-hidden="true">${letter}</span><span class="hidden">${text}; </span></abbr>`)}</span>`;

const transports = { tcp: "TCP", utp: "uTP", http: "HTTP" };

const rate = (n) => (n > 0 ? format.rate(n) : html`<span class="muted">0</span>`);

const Address = (p) => html`<span class="mono" title=${p.addr}>${p.addr}</span>`;
const Client = (p) => html`<span title=${format.name(p.client)}>${p.web_seed ? "web seed" : format.name(p.client) || html`<span class="muted">not said</span>`}</span>`;

const columns = [
  { id: "addr", title: "Address", width: 176, value: (p) => p.addr, cell: Address },
  { id: "client", title: "Client", width: 130, value: (p) => p.client.toLowerCase(), cell: Client },
  { id: "flags", title: "Flags", width: 96, value: letters, cell: (p) => html`<${Flags} peer=${p} />` },
  { id: "share", title: "Has", width: 68, align: "end", value: (p) => p.share, cell: (p) => (p.is_seed ? "all" : format.percent(p.share)) },
  { id: "down", title: "Receiving", width: 98, align: "end", value: (p) => p.down_rate, cell: (p) => rate(p.down_rate) },
  { id: "up", title: "Sending", width: 98, align: "end", value: (p) => p.up_rate, cell: (p) => rate(p.up_rate) },
  { id: "downloaded", title: "Received", width: 82, align: "end", value: (p) => p.downloaded, cell: (p) => format.size(p.downloaded) },
  { id: "uploaded", title: "Sent", width: 78, align: "end", value: (p) => p.uploaded, cell: (p) => format.size(p.uploaded) },
  { id: "transport", title: "Over", width: 58, value: (p) => p.transport, cell: (p) => transports[p.transport] || p.transport },
  { id: "source", title: "Found by", width: 98, value: sourcesOf, cell: (p) => html`<span title=${sourcesOf(p)}>${sourcesOf(p)}</span>` },
  { id: "since", title: "For", width: 74, align: "end", value: (p) => p.connected_s, cell: (p) => format.span(p.connected_s) },
];

// The same on narrow screens, in two lines.
const narrowColumns = [
  { id: "addr", title: "Peer", value: (p) => p.addr, cell: (p) => html`<div class="cut">${Address(p)}</div><div class="cut"><${Flags} peer=${p} /> ${Client(p)}</div>`, width: 180 },
  { id: "down", title: "Receiving", align: "end", value: (p) => p.down_rate, cell: (p) => html`<div>${rate(p.down_rate)}</div><small>${format.size(p.downloaded)}</small>`, width: 92 },
  { id: "up", title: "Sending", align: "end", value: (p) => p.up_rate, cell: (p) => html`<div>${rate(p.up_rate)}</div><small>${format.size(p.uploaded)}</small>`, width: 92 },
];

export function Peers({ torrent }) {
  const { data, error } = useResource(`v1/torrents/${torrent.infohash}/peers`, every);
  const narrow = useMedia(isNarrow);
  if (!data) return error ? html`<${ErrorText} error=${error} />` : html`<${Loading} what="the peers" />`;
  const peers = data.connections || [];
  if (peers.length === 0) {
    const e = explain(torrent);
    return html`<${Empty} title="No peer is connected"><p>${format.name(e.text)} ${format.name(e.hint)}</p></${Empty}>`;
  }
  return html`<div class="peers">
    <${Table} columns=${narrow ? narrowColumns : columns} rows=${peers} rowKey=${(p) => p.addr} label="Connected peers" />
    <details class="legend"><summary>What the flags mean</summary><dl class="legend-list">${flags.map(([letter, text]) => html`<div><dt>${letter}</dt><dd>${text}</dd></div>`)}</dl></details>
  </div>`;
}
