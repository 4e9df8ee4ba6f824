// Who keeps a publication alive: the peers that have its versions, and the DHT nodes with its signed item. Peers are estimated (BEP 33):
// DHT nodes count hashes of addresses, and a node may leave out the address that asks.
import { get } from "../api.js";
import { ms } from "../dht/report.js";
import { useRequest } from "../dht/request.js";
import * as format from "../format.js";
import { html, useRef } from "../html.js";
import { href } from "../router.js";
import { torrents } from "../store.js";
import { ErrorText } from "../ui/message.js";
import { Table } from "../ui/table.js";

const states = { newest: "newest", older: "older", bad: "bad signature" };

const columns = [
  { id: "addr", title: "Node", value: (h) => h.addr, cell: (h) => html`<span class="mono">${h.addr}</span>` },
  { id: "seq", title: "Version", align: "end", value: (h) => h.seq, cell: (h) => format.number(h.seq) },
  { id: "state", title: "State", value: (h) => h.state, cell: (h) => states[h.state] || h.state },
  { id: "client", title: "Client", wide: true, value: (h) => h.client || "", cell: (h) => format.name(h.client || "") },
  { id: "rtt", title: "Answers within", wide: true, align: "end", value: (h) => h.rtt_ms ?? 0, cell: (h) => (h.rtt_ms ? ms(h.rtt_ms) : "") },
];

const copyColumns = [
  { id: "seq", title: "Version", cell: (v) => format.number(v.seq) },
  { id: "addresses", title: "Peers", align: "end", cell: (v) => format.number(v.copies.addresses) },
  { id: "seeds", title: "With all of it", align: "end", cell: (v) => estimate(v.copies.seeds) },
  { id: "downloading", title: "Downloading", align: "end", cell: (v) => estimate(v.copies.downloading) },
];

const estimate = (n) => (n === undefined ? html`<span class="muted">not known</span>` : `about ${format.number(n)}`);

export function Holders({ publication: p }) {
  const { busy, answer, error, run } = useRequest();
  const last = useRef(); // stays while it is asked again, so that nothing jumps
  if (answer) last.current = answer;
  const holders = last.current && (last.current.holders || []);
  const counted = (last.current?.versions || []).filter((v) => v.copies).reverse();
  const newest = last.current?.versions?.at(-1)?.copies;
  const ask = () => run(() => get(`v1/publications/${p.target}?holders=true&copies=true`));
  const t = torrents.get(p.infohash);
  return html`<section class="card" aria-labelledby="holders-title">
    <h2 id="holders-title">Followers and holders</h2>
    <p>Nobody keeps a list of the followers. They are seen while they are connected, or announced in the DHT. DHT nodes hold the signed item that says which version is the newest.</p>
    <dl class="facts-list">
      <div><dt>Connected now, with the newest version</dt><dd>${t ? html`${t.peers ? `${format.plural(t.peers, "peer")}, ${format.number(t.seeds)} with all of it` : "none: a follower that has all of it may disconnect"} · <a href=${href("torrents", t.infohash, "peers")}>its peers</a>` : "not known: it is not in the session"}</dd></div>
      <div><dt>Get new versions pushed</dt><dd>${p.connected ? `${format.plural(p.connected, "follower")}, connected now` : "no follower is connected now"}</dd></div>
      <div><dt>Announced in the DHT</dt><dd>${!holders ? "not asked yet" : newest ? `${format.plural(newest.addresses, "address", "addresses")} with the newest version. This node may be among them.` : "not known: no node answered"}</dd></div>
      <div><dt>Hold the item</dt><dd>${holders ? format.plural(holders.length, "DHT node") : "not asked yet"}</dd></div>
    </dl>
    <p><button type="button" disabled=${busy} onClick=${ask}>${busy ? "Asking the DHT…" : holders ? "Ask again" : "Ask the DHT"}</button></p>
    ${holders?.length === 0 && html`<p role="status">No node answered with the item. A new publication needs some seconds; without DHT nodes it cannot be found: see Doctor.</p>`}
    ${error && html`<${ErrorText} error=${error} />`}
    ${counted.length > 0 && html`<${Table} label="Copies of each version" columns=${copyColumns} rows=${counted} rowKey=${(v) => v.seq} />`}
    ${holders?.length > 0 && html`<${Table} label="Nodes that hold it" columns=${columns} rows=${holders} rowKey=${(h) => h.addr} />`}
  </section>`;
}
