// Items of the DHT (BEP 44): finding and storing them.
import { post } from "../api.js";
import * as format from "../format.js";
import { html, useState } from "../html.js";
import { Guarded, ScopeNote } from "../ui/guarded.js";
import { ErrorText } from "../ui/message.js";
import { Put } from "./put.js";
import { Report } from "./report.js";
import { useRequest } from "./request.js";

export function Items() {
  return html`<div class="dht-tool">
    <${ScopeNote} scope="add" actions="send lookups" />
    <${Get} />
    <${Put} />
  </div>`;
}

function Get() {
  const [target, setTarget] = useState("");
  const [salt, setSalt] = useState("");
  const { busy, answer, error, run } = useRequest();
  const submit = (e) => {
    e.preventDefault();
    if (target.trim() && !busy) run(() => post("v1/dht/get", { target: target.trim(), ...(salt && { salt }) }));
  };
  return html`<form class="card" aria-labelledby="get-title" onSubmit=${submit}>
      <h2 id="get-title">Get an item</h2>
      <div class="fields">
        <label class="field">Target or public key<input value=${target} onInput=${(e) => setTarget(e.target.value)} maxlength="64" spellcheck="false" autocomplete="off" placeholder="40 or 64 hex digits" /></label>
        <label class="field">Salt (optional)<input value=${salt} onInput=${(e) => setSalt(e.target.value)} maxlength="64" spellcheck="false" autocomplete="off" /></label>
      </div>
      <p><${Guarded} scope="add" class="primary" disabled=${busy || target.trim() === ""} onClick=${submit}>${busy ? "Asking the DHT…" : "Get"}</${Guarded}></p>
    </form>
    ${error && html`<${ErrorText} error=${error} />`}
    ${answer && html`<section class="card" aria-label="Result" role="status"><${Found} answer=${answer} /></section>`}`;
}

function Found({ answer: a }) {
  const rejected = a.rejected.oversized + a.rejected.wrong_hash + a.rejected.bad_signature;
  return html`<h2>${a.item ? "Found the item" : "No node holds this item"}</h2>
    ${a.item
      ? html`<dl class="facts-list">
          <div><dt>Kind</dt><dd>${a.item.mutable ? `mutable, version ${format.number(a.item.seq ?? 0)}` : "immutable"}</dd></div>
          <div><dt>Held by</dt><dd>${format.plural(a.have, "node")}${a.older ? `, and an older version by ${format.number(a.older)}` : ""}</dd></div>
          ${a.item.salt && html`<div><dt>Salt</dt><dd class="mono">${format.name(a.item.salt)}</dd></div>`}
        </dl>
        <label class="field">${a.item.text !== undefined ? "Value" : "Value (bencoded, in base64)"}<textarea readonly rows="3">${a.item.text ?? a.item.bencoded}</textarea></label>`
      : html`<p>Items expire about two hours after they were last put.</p>`}
    ${rejected > 0 && html`<p class="warn">${format.plural(rejected, "answer")} ${rejected === 1 ? "was" : "were"} rejected: too large, or the hash or signature was wrong.</p>`}
    <${Report} lookup=${a.lookup} of="the item" />`;
}
