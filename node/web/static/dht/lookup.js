// A lookup of peers, or of the nodes closest to a target, shown while it runs.
import * as format from "../format.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { Guarded, ScopeNote } from "../ui/guarded.js";
import { ErrorText } from "../ui/message.js";
import { Progress } from "./progress.js";
import { Steps, trace } from "./trace.js";

const maxShown = 100; // peers

export function Lookup() {
  const [target, setTarget] = useState("");
  const [nodes, setNodes] = useState(false);
  const [error, setError] = useState(null);
  const [steps, setSteps] = useState(null);
  const [, render] = useState(0);
  const running = useRef(null); // the AbortController
  useEffect(() => () => running.current?.abort(), []);

  const submit = async (e) => {
    e.preventDefault();
    if (target.trim() === "" || running.current) return;
    const stop = (running.current = new AbortController());
    const steps = new Steps();
    setError(null);
    setSteps(steps);
    let frame = 0;
    const on = (step) => {
      steps.add(step);
      frame ||= requestAnimationFrame(() => ((frame = 0), render((n) => n + 1)));
    };
    try {
      await trace(target.trim(), { nodes, signal: stop.signal, on });
    } catch (err) {
      if (!stop.signal.aborted) setError(err);
    }
    running.current = null;
    render((n) => n + 1);
  };
  const isRunning = running.current !== null;
  return html`<div class="dht-tool">
    <${ScopeNote} scope="add" actions="send lookups" />
    <form class="card" onSubmit=${submit}>
      <label class="field">Infohash, magnet link, or id of a node<input value=${target} onInput=${(e) => setTarget(e.target.value)} spellcheck="false" autocomplete="off" placeholder="40 hex digits" /></label>
      <fieldset class="choices choices-row">
        <legend>Find</legend>
        <label class="check"><input type="radio" name="what" checked=${!nodes} onChange=${() => setNodes(false)} /> Peers, with a scrape</label>
        <label class="check"><input type="radio" name="what" checked=${nodes} onChange=${() => setNodes(true)} /> The closest nodes</label>
      </fieldset>
      <p>${isRunning
        ? html`<button type="button" onClick=${() => running.current?.abort()}>Stop</button>`
        : html`<${Guarded} scope="add" class="primary" disabled=${target.trim() === ""} onClick=${submit}>Look up</${Guarded}>`}</p>
    </form>
    ${error && html`<${ErrorText} error=${error} />`}
    ${steps && (steps.nodes.size > 0 || isRunning || steps.end) && html`<section class="card lookup" aria-label="Lookup">
      ${steps.end && !nodes && html`<${Found} end=${steps.end} />`}
      ${steps.end?.error && html`<p class="warn">It ended early: ${steps.end.error}</p>`}
      <${Progress} steps=${steps} isRunning=${isRunning} />
    </section>`}
  </div>`;
}

function Found({ end }) {
  const { addrs, scrape, lookup } = end;
  return html`<h2>${addrs.length === 0 ? "No peers were found" : `Found ${format.plural(addrs.length, "peer")}`}</h2>
    ${addrs.length === 0
      ? html`<p>${lookup.answered === 0 ? "No node answered. The doctor says why." : "No peer has announced this infohash lately."}</p>`
      : html`<ul class="addrs mono">${addrs.slice(0, maxShown).map((a) => html`<li>${a}</li>`)}${addrs.length > maxShown && html`<li>and ${format.plural(addrs.length - maxShown, "other")}</li>`}</ul>`}
    ${scrape && html`<p>Scrape: ${scrape.filters === 0 ? "no node gave an estimate (BEP 33)." : `about ${format.plural(scrape.seeds, "seed")} and ${format.plural(scrape.peers, "peer")}, from the answers of ${format.plural(scrape.filters, "node")}.`}</p>`}`;
}
