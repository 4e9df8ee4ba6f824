// Storing an item in the DHT (BEP 44).
import { get, post } from "../api.js";
import * as format from "../format.js";
import { html, useEffect, useState } from "../html.js";
import { CopyButton } from "../ui/copy.js";
import { Guarded, ScopeNote } from "../ui/guarded.js";
import { ErrorText } from "../ui/message.js";
import { Report } from "./report.js";
import { useRequest } from "./request.js";

const maxValue = 1000; // bytes, with its length in front

export function Put() {
  const [form, setForm] = useState({ text: "", key: "", salt: "" });
  const [keys, setKeys] = useState([]);
  const { busy, answer, error, run } = useRequest();
  useEffect(() => {
    get("v1/keys").then((l) => setKeys(l.keys.map((k) => k.name)), () => {}); // an item can be immutable too
  }, []);
  const size = new TextEncoder().encode(form.text).length;
  const tooLong = String(size).length + 1 + size > maxValue;
  const submit = (e) => {
    e.preventDefault();
    if (form.text && !tooLong && !busy) run(() => post("v1/dht/put", { text: form.text, ...(form.key && { key: form.key, ...(form.salt && { salt: form.salt }) }) }));
  };
  const set = (name) => (e) => setForm({ ...form, [name]: e.target.value });
  return html`<form class="card" aria-labelledby="put-title" onSubmit=${submit}>
      <h2 id="put-title">Put an item</h2>
      <${ScopeNote} scope="admin" actions="put items" />
      <label class="field">Value<textarea rows="3" value=${form.text} onInput=${set("text")} aria-invalid=${tooLong ? "true" : undefined}></textarea>
        <small class=${tooLong ? "danger-text" : ""}>${tooLong ? `${format.number(size)} bytes: an item has at most ${format.number(maxValue)}. Shorten it.` : "Text, of at most 1,000 bytes. Everyone can read it; nodes drop it after two hours."}</small></label>
      <div class="fields">
        <label class="field">Signed by
          <select value=${form.key} onChange=${set("key")}><option value="">no key: immutable</option>${keys.map((k) => html`<option value=${k}>${k}</option>`)}</select>
        </label>
        <label class="field">Salt (optional)<input value=${form.salt} disabled=${form.key === ""} onInput=${set("salt")} maxlength="64" spellcheck="false" autocomplete="off" /><small>Only of a signed item.</small></label>
      </div>
      ${form.key && html`<p class="note">An item under the key of a publication, with the same salt, replaces what its followers find.</p>`}
      <p><${Guarded} scope="admin" class="primary" disabled=${busy || form.text === "" || tooLong} onClick=${submit}>${busy ? "Storing it in the DHT…" : "Put"}</${Guarded}></p>
    </form>
    ${error && html`<${ErrorText} error=${error} />`}
    ${answer && html`<section class="card" aria-label="Stored item"><${Stored} answer=${answer} /></section>`}`;
}

const Stored = ({ answer: a }) => html`<h2>${a.kept > 0 ? "The item is stored" : "No node keeps the item"}</h2>
  <p role="status">${format.plural(a.accepted, "node")} accepted it, and ${format.number(a.kept)} returned it afterwards.${a.item.seq !== undefined ? ` Its version is ${format.number(a.item.seq)}.` : ""}</p>
  <div class="copy-line"><input readonly class="mono" aria-label="Target" value=${a.target} onFocus=${(e) => e.target.select()} /><${CopyButton} text=${a.target} what="the target" title="Copy the target" /></div>
  <${Report} lookup=${a.lookup} of="the stored item" />`;
