// What has changed between two versions: files added, changed, renamed and removed.
import { get } from "../api.js";
import * as format from "../format.js";
import { html, useEffect, useState } from "../html.js";
import { ErrorText } from "../ui/message.js";

const kinds = [
  { id: "added", title: "Added", sign: "+" },
  { id: "changed", title: "Changed", sign: "±" },
  { id: "renamed", title: "Renamed", sign: "→" },
  { id: "removed", title: "Removed", sign: "−" },
  { id: "unknown", title: "Perhaps changed", sign: "?", why: "The size is the same, and the hashes do not say whether the content is." },
];

/** Differences compares two versions of what path names; at first the last two. */
export function Differences({ path, versions }) {
  const seqs = versions.map((v) => v.seq).sort((a, b) => a - b);
  const [chosen, setChosen] = useState(null);
  const [from, to] = chosen || seqs.slice(-2);
  const [state, setState] = useState({});
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    if (!isOpen) return;
    const stop = new AbortController();
    setState({});
    get(`${path}/diff?from=${from}&to=${to}`, { signal: stop.signal }).then(
      (differences) => setState({ differences }),
      (error) => stop.signal.aborted || setState({ error }),
    );
    return () => stop.abort();
  }, [isOpen, path, from, to]);
  const choose = (label, value, set) => html`<label class="field">${label}
    <select value=${value} onChange=${(e) => set(Number(e.target.value))}>${seqs.map((s) => html`<option value=${s}>version ${s}</option>`)}</select>
  </label>`;
  return html`<details class="differences" onToggle=${(e) => setOpen(e.target.open)}>
    <summary>Differences between two versions</summary>
    <div class="fields">
      ${choose("From", from, (s) => setChosen([s, to]))}
      ${choose("To", to, (s) => setChosen([from, s]))}
    </div>
    ${state.error && html`<${ErrorText} error=${state.error} />`}
    ${isOpen && !state.error && !state.differences && html`<p role="status">Comparing the versions…</p>`}
    ${state.differences && html`<${Files} differences=${state.differences} />`}
  </details>`;
}

function Files({ differences: d }) {
  const counts = kinds.filter((k) => d[k.id] > 0).map((k) => `${format.number(d[k.id])} ${k.title.toLowerCase()}`);
  return html`<p role="status">${counts.length === 0 ? `All ${format.plural(d.same, "file")} are the same.` : `${counts.join(", ")}, ${format.number(d.same)} the same. ${sizes(d)}`}</p>
    ${kinds.map(({ id, title, sign, why }) => {
      const files = d.files.filter((f) => f.change === id);
      return files.length > 0 && html`<h3>${title}</h3>
        ${why && html`<p class="muted">${why}</p>`}
        <ul class=${"files-" + id}>
          ${files.map((f) => html`<li><span aria-hidden="true">${sign}</span> <span class="path">${format.name(f.path)}</span> ${f.from && html`<small class="muted">was ${format.name(f.from)}</small> `}<small>${sizeOf(f)}</small></li>`)}
        </ul>`;
    })}
    ${d.more && html`<p class="muted">Only the first ${format.plural(d.files.length, "file")} are shown.</p>`}`;
}

const sizes = (d) => (d.size === d.old_size ? "The size is the same." : `${format.size(Math.abs(d.size - d.old_size))} ${d.size > d.old_size ? "more" : "less"}.`);

const sizeOf = (f) => (f.change === "changed" && f.size !== f.old_size ? `${format.size(f.old_size)} → ${format.size(f.size)}` : format.size(f.change === "removed" ? f.old_size : f.size));
