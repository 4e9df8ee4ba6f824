// A lookup, step by step, while it runs.
import { request } from "../api.js";

/**
 * trace runs a lookup of a target and calls on(step) with each step: {event, at_ms, addr, ...}; the last has the event done. With
 * nodes, it looks for the closest nodes in place of peers.
 */
export async function trace(target, { nodes, signal, on }) {
  const query = new URLSearchParams({ target, ...(nodes && { nodes: "true" }) });
  const response = await request("GET", `v1/dht/trace?${query}`, undefined, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) on(JSON.parse(line));
  }
}

/** Steps collects the steps of a lookup by node. */
export class Steps {
  nodes = new Map(); // by address: {addr, bits, asked, ended, state, rtt, gave}
  end = null; // the last step

  add(s) {
    if (s.event === "done") {
      this.end = s;
      return;
    }
    const node = this.nodes.get(s.addr) || { addr: s.addr, asked: s.at_ms, state: "asked" };
    if (s.bits !== undefined) node.bits = s.bits;
    if (s.event !== "asked") Object.assign(node, { state: s.event, ended: s.at_ms, rtt: s.rtt_ms, nodes: s.nodes || 0, peers: s.peers || 0 });
    this.nodes.set(s.addr, node);
  }

  count(state) {
    let n = 0;
    for (const node of this.nodes.values()) if (node.state === state) n++;
    return n;
  }

  /** closest returns the most bits that a node that has answered has in common with the target; undefined without one. */
  get closest() {
    const bits = [...this.nodes.values()].filter((n) => n.state === "answered" && n.bits !== undefined).map((n) => n.bits);
    return bits.length ? Math.max(...bits) : undefined;
  }
}
