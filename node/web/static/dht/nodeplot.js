// Nodes by their distance from this one and the time since their last answer.
import * as format from "../format.js";
import { html } from "../html.js";
import { isIPv6 } from "./id.js";
import { Scatter, linear, log, steps } from "./scatter.js";

const ages = [1, 10, 60, 600, 3600, 6 * 3600, 86400]; // in seconds, where the axis has marks

/** NodePlot shows nodes, {node, bits}. */
export function NodePlot({ nodes }) {
  const age = ({ node }) => node.silent_s;
  const maxBits = Math.max(8, Math.ceil(Math.max(...nodes.map((n) => n.bits)) + 0.5));
  const oldest = Math.max(60, ...nodes.map(age));
  const points = nodes.map((n) => ({
    key: n.node.addr, x: n.bits, y: age(n), square: isIPv6(n.node.addr), kind: n.node.good ? "good" : "silent",
    title: `${n.node.addr}: ${Math.floor(n.bits)} bits in common, answered ${format.span(age(n))} ago`,
  }));
  const count = (f) => nodes.filter(({ node }) => f(node)).length;
  const sorted = nodes.map(age).sort((a, b) => a - b);
  const label = `Plot of ${format.plural(nodes.length, "node")}: ${count((n) => n.good)} good; ${count((n) => !isIPv6(n.addr))} over IPv4, ${count((n) => isIPv6(n.addr))} over IPv6. ` +
    `The closest has ${Math.floor(Math.max(...nodes.map((n) => n.bits)))} leading bits in common with this node. The last answers came ${format.span(sorted[sorted.length >> 1])} ago in the median, ${format.span(sorted.at(-1))} ago at most. The table below has the same.`;
  return html`<${Scatter} points=${points} label=${label}
    x=${{ scale: linear(maxBits), marks: steps(maxBits, 8), low: "far", high: "close: bits in common with this node" }}
    y=${{ scale: log(oldest * 1.1), marks: ages.filter((a) => a <= oldest).map((at) => ({ at, text: format.span(at) })) }}
    legend=${[{ kind: "good", text: "IPv4" }, { kind: "good", square: true, text: "IPv6" }, { kind: "silent", text: "has not answered recently" }, { kind: "none", text: "Upwards: the time since the last answer" }]} />`;
}
