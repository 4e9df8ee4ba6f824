// The dialogs that pin a link, subscribe to a list, and publish the list of the user's pins.
import { post, request } from "../api.js";
import { isName, isPublication } from "../add/links.js";
import { html, useState } from "../html.js";
import { noteJob } from "../jobs.js";
import { Publishing } from "../publications/new.js";
import { Dialog, openDialog } from "../ui/dialog.js";
import { toast } from "../ui/toast.js";

const gigabytes = (text) => Math.round(Number(text) * 1e9);

/** useForm returns the values of a dialog and the attributes of its fields; send posts a link, and offers to accept the other key of a name. */
function useForm(first) {
  const [form, setForm] = useState({ link: "", accept: false, ...first });
  const [isChanged, setChanged] = useState(false);
  const link = form.link.trim();
  const field = (name) => ({ value: form[name], onInput: (e) => setForm({ ...form, [name]: e.target.value }), spellcheck: false, autocomplete: "off" });
  const send = async (path, body) => {
    if (isChanged && form.accept) body.accept_change = true;
    const answer = await request("POST", path, { link, ...body }).catch((e) => {
      if (isName(link) && e.kind === "conflict") setChanged(true);
      throw e;
    });
    return answer.status === 201;
  };
  const accept = isChanged && html`<label class="check"><input type="checkbox" checked=${form.accept} onChange=${(e) => setForm({ ...form, accept: e.target.checked })} /> Accept the other key</label>`;
  return { form, link, field, send, accept };
}

const Gigabytes = ({ label, help, ...field }) => html`<label class="field">${label}<input type="number" min="0" step="any" ...${field} /><small>${help}</small></label>`;

export function AddPin({ close, reload }) {
  const { form, link, field, send, accept } = useForm({ name: "", quota: "" });
  const submit = async () => {
    const isNew = await send("v1/pins", { ...(form.name.trim() && { name: form.name.trim() }), quota: gigabytes(form.quota) });
    toast(isNew ? "The daemon keeps it alive." : "You have pinned it already. Its quota was set.");
    await reload();
  };
  return html`<${Dialog} title="Pin a link" close=${close} action="Pin" ready=${link !== ""} submit=${submit}>
    <label class="field">Link or name<textarea data-focus rows="3" ...${field("link")} placeholder="magnet:?xs=urn:btpk:… or example.org"></textarea>
      <small>Of a publication, of which the newest version is held, or of a torrent.</small>
    </label>
    <div class="fields">
      <label class="field">Name to show<input ...${field("name")} maxlength="64" placeholder="that of the link" /></label>
      <${Gigabytes} label="Largest version, in GB" help="A larger one is not downloaded, and the one before stays." placeholder="no limit of its own" ...${field("quota")} />
    </div>
    ${accept}
  </${Dialog}>`;
}

export function Subscribe({ close, reload }) {
  const { form, link, field, send, accept } = useForm({ quota: "10", max: "100" });
  const submit = async () => {
    const isNew = await send("v1/pin-lists", { quota: gigabytes(form.quota), max: Number(form.max) });
    toast(isNew ? "The daemon pins what the list names." : "You subscribe to this list already. Its limits were set.");
    await reload();
  };
  return html`<${Dialog} title="Subscribe to a list of pins" close=${close} action="Subscribe" ready=${isPublication(link) && Number(form.quota) > 0} submit=${submit}>
    <label class="field">Link or name of the list<textarea data-focus rows="3" ...${field("link")} placeholder="magnet:?xs=urn:btpk:…&s=70696e73"></textarea>
      <small>${link && !isPublication(link) ? "This link has no public key (xs=urn:btpk:)." : "Its publisher decides what this machine holds, within these limits:"}</small>
    </label>
    <div class="fields">
      <${Gigabytes} label="All its pins together, in GB" help="What exceeds this is not downloaded." ...${field("quota")} />
      <label class="field">Most pins<input type="number" min="1" max="1000" ...${field("max")} /><small>The first links of the list are pinned.</small></label>
    </div>
    ${accept}
  </${Dialog}>`;
}

export function PublishList({ close }) {
  const [key, setKey] = useState("");
  const submit = async () => openDialog(Publishing, { number: noteJob(await post("v1/pins/publish", { key: key.trim() })).number, reload: async () => {} });
  return html`<${Dialog} title="Publish the list of your pins" close=${close} action="Publish" ready=${key.trim() !== ""} submit=${submit}>
    <p>Others can subscribe to it, so that their machines hold what you have pinned. It is published again when your pins change. It has no private publications.</p>
    <label class="field">Key<input data-focus value=${key} onInput=${(e) => setKey(e.target.value)} maxlength="64" spellcheck="false" autocomplete="off" />
      <small>The name of the key that signs the list. It is made if there is none of that name.</small>
    </label>
  </${Dialog}>`;
}
