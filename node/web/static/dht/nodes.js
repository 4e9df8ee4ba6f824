// The state of this node in the DHT, and the nodes of its routing tables.
import * as format from "../format.js";
import { html } from "../html.js";
import { href } from "../router.js";
import { Empty } from "../ui/message.js";
import { Table } from "../ui/table.js";
import { isIPv6, sharedBits } from "./id.js";
import { NodePlot } from "./nodeplot.js";
import { ms } from "./report.js";

export function Nodes({ dht }) {
  const used = new Set(dht.families.map((f) => f.family));
  return html`<div class="dht-nodes">
    <div class="families">
      ${dht.families.map((f) => html`<${Family} key=${f.family} family=${f} />`)}
      ${Object.keys(names).filter((f) => !used.has(f)).map((f) => html`<section class="card" aria-label=${names[f]}><h2>${names[f]}</h2>
        <p class="muted">This node does not use ${names[f]}: the machine does not have it, or --listen names an address of the other family.</p></section>`)}
      <${Announces} announces=${dht.announces} />
      <${Held} held=${dht.held} />
    </div>
    ${dht.nodes.length === 0
      ? html`<${Empty} title="This node knows no other"><p>Without nodes, no peers can be found by infohash alone. The doctor says what is in the way.</p><a href=${href("doctor")}>Open the doctor</a></${Empty}>`
      : html`<${Known} dht=${dht} />`}
  </div>`;
}

const names = { ipv4: "IPv4", ipv6: "IPv6" };

const Fact = ({ title, whole, children }) => html`<div class=${whole ? "whole" : ""}><dt>${title}</dt><dd>${children}</dd></div>`;

function Family({ family: f }) {
  const others = f.votes.filter((v) => v.addr !== f.external);
  return html`<section class="card" aria-label=${names[f.family]}>
    <h2>${names[f.family]}</h2>
    <dl class="facts-list">
      <${Fact} title="Nodes">${f.nodes === 0 ? "none" : `${format.number(f.good_nodes)} good of ${format.number(f.nodes)}`}</${Fact}>
      <${Fact} title="Address as others see it"><span class="mono">${f.external || "not known yet"}</span>${others.length > 0 && html` <span class="muted">(${others.slice(0, 3).map((v) => `${format.plural(v.votes, "vote")} for ${v.addr}`).join(", ")})</span>`}</${Fact}>
      <${Fact} title="Queries of others">${format.number(f.queries)}</${Fact}>
      <${Fact} title="Own queries">${format.number(f.sent)}, answered ${format.number(f.replies)}</${Fact}>
      <${Fact} title="Id of this node" whole><span class="mono">${f.id}</span></${Fact}>
    </dl>
  </section>`;
}

/** Announces says whether peers can find the torrents of this node, and how late its announces are. */
function Announces({ announces: a }) {
  return html`<section class="card" aria-label="Announces">
    <h2>Announces</h2>
    ${a.torrents === 0
      ? html`<p class="muted">No torrent is announced: only torrents that are started are.</p>`
      : html`<dl class="facts-list">
          <${Fact} title="Torrents announced">${format.number(a.torrents)}</${Fact}>
          <${Fact} title="Late">${a.late > 0 ? html`<span class="warn">${format.number(a.late)}: the last announce is more than 20 min old</span>` : "none"}</${Fact}>
          <${Fact} title="Not announced yet">${format.number(a.never)}</${Fact}>
          <${Fact} title="Running now">${format.number(a.now)}</${Fact}>
          <${Fact} title="Each one once in" whole>${format.span(a.interval_s)}${a.stretched && html`. <span class="warn">More torrents than --dht-rate allows to announce in 20 min: raise it, or stop some torrents.</span>`}</${Fact}>
        </dl>`}
  </section>`;
}

/** Held says what this node stores for others. */
const Held = ({ held: h }) => html`<section class="card" aria-label="Stored here">
  <h2>Stored here for others</h2>
  <dl class="facts-list">
    <${Fact} title="Infohashes">${format.number(h.infohashes)}, with ${format.plural(h.peers, "peer")}</${Fact}>
    <${Fact} title="Items">${format.number(h.items)}</${Fact}>
    <${Fact} title="Items kept alive">${format.number(h.kept_items)} of publications and follows</${Fact}>
  </dl>
</section>`;

function Known({ dht }) {
  const nodes = dht.nodes.map((node) => ({ node, bits: sharedBits(node.id, isIPv6(node.addr) ? dht.id6 : dht.id4) }));
  return html`<section class="card" aria-labelledby="known-title">
    <h2 id="known-title">Nodes by distance and age</h2>
    <${NodePlot} nodes=${nodes} />
    <${Table} label="Nodes" columns=${columns} rows=${nodes} rowKey=${(n) => n.node.addr} order=${{ id: "bits", down: true }} />
  </section>`;
}

const columns = [
  { id: "addr", title: "Node", value: (p) => p.node.addr, cell: (p) => html`<span class="mono">${p.node.addr}</span>` },
  { id: "bits", title: "Bits in common", align: "end", value: (p) => p.bits, cell: (p) => Math.floor(p.bits) },
  { id: "age", title: "Answered", align: "end", value: (p) => p.node.silent_s, cell: (p) => `${format.span(p.node.silent_s)} ago` },
  { id: "rtt", title: "Answers within", wide: true, align: "end", value: (p) => p.node.rtt_ms ?? 0, cell: (p) => (p.node.rtt_ms ? ms(p.node.rtt_ms) : "") },
  { id: "good", title: "State", value: (p) => (p.node.good ? 1 : 0), cell: (p) => (p.node.good ? "good" : html`<span class="warn">has not answered recently</span>`) },
  { id: "secure", title: "Id matches the address", wide: true, value: (p) => (p.node.secure ? 1 : 0), cell: (p) => (p.node.secure ? "yes" : "no") },
  { id: "id", title: "Id", wide: true, value: (p) => p.node.id, cell: (p) => html`<span class="mono">${p.node.id.slice(0, 16)}…</span>` },
];
