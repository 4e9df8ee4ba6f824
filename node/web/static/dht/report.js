// The result of a lookup: which nodes were asked, which answered, and how close they are.
import * as format from "../format.js";
import { html } from "../html.js";
import { Table } from "../ui/table.js";

const columns = [
  { id: "addr", title: "Node", value: (c) => c.addr, cell: (c) => html`<span class="mono">${c.addr}</span>` },
  { id: "bits", title: "Bits in common", align: "end", value: (c) => c.bits ?? 0, cell: (c) => c.bits },
  { id: "rtt", title: "Answered within", wide: true, align: "end", value: (c) => c.rtt_ms ?? 0, cell: (c) => (c.rtt_ms ? `${Math.max(1, Math.round(c.rtt_ms))} ms` : "") },
  { id: "client", title: "Client", wide: true, value: (c) => c.client || "", cell: (c) => format.name(c.client || "") },
];

export const ms = (n) => (n < 1000 ? `${Math.max(1, Math.round(n))} ms` : `${(n / 1000).toFixed(1)} s`);

/** Report sums up a lookup of something. */
export const Report = ({ lookup: l, of }) => html`<p>Asked ${format.plural(l.asked, "node")}: ${format.number(l.answered)} answered, ${format.number(l.failed)} did not.
    ${l.answered > 0 && ` The first answer came after ${ms(l.first_answer_ms)}, all took ${ms(l.took_ms)}.`} ${l.closest_bits !== undefined && `The closest node shares ${l.closest_bits} bits with the target.`}</p>
  ${l.closest.length > 0 && html`<h3>The closest nodes</h3><${Table} label=${`The closest nodes to ${of}`} columns=${columns} rows=${l.closest} rowKey=${(c) => c.addr} order=${{ id: "bits", down: true }} />`}`;
