// The progress of a lookup: which nodes were asked, which answered, and how close they are.
import * as format from "../format.js";
import { html } from "../html.js";
import { Table } from "../ui/table.js";
import { ms } from "./report.js";
import { Scatter, linear, steps as marks } from "./scatter.js";

const states = { asked: "asked", answered: "answered", failed: "no answer" };
const kinds = { asked: "silent", answered: "good", failed: "failed" };

export function Progress({ steps, isRunning }) {
  const nodes = [...steps.nodes.values()];
  const { closest } = steps;
  const summary = `${isRunning ? "Running: " : ""}${format.plural(nodes.length, "node")} asked, ${steps.count("answered")} answered, ${steps.count("failed")} did not` +
    (closest === undefined ? "." : `; the closest has ${closest} bits in common with the target.`) + (!isRunning && steps.end ? ` It took ${ms(steps.end.lookup.took_ms)}.` : "");
  const known = nodes.filter((n) => n.bits !== undefined);
  const last = Math.max(1, ...nodes.map((n) => n.ended ?? n.asked));
  const top = Math.max(8, ...known.map((n) => n.bits)) * 1.05;
  const points = known.map((n) => ({ key: n.addr, x: n.ended ?? n.asked, y: n.bits, kind: kinds[n.state], title: `${n.addr}: ${n.bits} bits in common, ${states[n.state]} after ${ms(n.ended ?? n.asked)}` }));
  return html`<p role="status">${summary}</p>
    ${points.length > 0 &&
    html`<${Scatter} points=${points} label=${`Plot of the lookup. ${summary} The table below has the same.`}
      x=${{ scale: linear(last), marks: marks(last, 6, (t) => (t === 0 ? "0" : ms(t))), low: "time since the start", high: "" }}
      y=${{ scale: linear(top), marks: marks(top, 5, (b) => `${b} bits`) }}
      legend=${[{ kind: "good", text: "answered" }, { kind: "silent", text: "asked" }, { kind: "failed", text: "no answer" }, { kind: "none", text: "Upwards: bits in common with the target" }]} />`}
    <${Table} label="Nodes that were asked" columns=${columns} rows=${nodes} rowKey=${(n) => n.addr} order=${{ id: "bits", down: true }} />`;
}

const columns = [
  { id: "addr", title: "Node", value: (n) => n.addr, cell: (n) => html`<span class="mono">${n.addr}</span>` },
  { id: "bits", title: "Bits in common", align: "end", value: (n) => n.bits ?? -1, cell: (n) => n.bits ?? "" },
  { id: "state", title: "State", value: (n) => n.state, cell: (n) => (n.state === "failed" ? html`<span class="danger-text">${states.failed}</span>` : states[n.state]) },
  { id: "asked", title: "Asked after", wide: true, align: "end", value: (n) => n.asked, cell: (n) => ms(n.asked) },
  { id: "rtt", title: "Answered within", wide: true, align: "end", value: (n) => n.rtt ?? 0, cell: (n) => (n.rtt ? ms(n.rtt) : "") },
  { id: "gave", title: "Returned", wide: true, cell: (n) => [n.peers > 0 && format.plural(n.peers, "peer"), n.nodes > 0 && format.plural(n.nodes, "node")].filter(Boolean).join(", ") },
];
