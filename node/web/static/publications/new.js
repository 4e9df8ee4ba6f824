// The dialog that makes a publication of a folder, and shows the job.
import { get, post } from "../api.js";
import * as format from "../format.js";
import { html, useEffect, useState } from "../html.js";
import { JobProgress, noteJob, useJob } from "../jobs.js";
import { href, navigate } from "../router.js";
import { node } from "../store.js";
import { CopyButton } from "../ui/copy.js";
import { Dialog, openDialog } from "../ui/dialog.js";

export function NewPublication({ close, reload }) {
  const [form, setForm] = useState({ path: "", key: "", salt: "", watch: "", format: "" });
  const [keys, setKeys] = useState([]);
  useEffect(() => {
    get("v1/keys").then((l) => setKeys(l.keys.map((k) => k.name)), () => {}); // they are only suggestions
  }, []);
  const field = (name) => ({ value: form[name], onInput: (e) => setForm({ ...form, [name]: e.target.value }), spellcheck: false, autocomplete: "off" });
  const submit = async () => {
    const body = { path: form.path.trim(), key: form.key.trim() };
    if (form.salt.trim()) body.salt = form.salt.trim();
    if (form.watch) body.watch_s = Number(form.watch);
    if (form.format) body.format = form.format;
    const job = noteJob(await post("v1/publications", body));
    openDialog(Publishing, { number: job.number, reload });
  };
  return html`<${Dialog} title="New publication" close=${close} action="Publish" ready=${form.path.trim() !== "" && form.key.trim() !== ""} submit=${submit}>
    <label class="field">Folder or file<input data-focus ...${field("path")} placeholder=${`${node.value?.dir || "/srv"}/my-data`} />
      <small>On the machine of the daemon: an absolute path in its folder for torrents, or in one that <code>--allow-path</code> allows. Nothing is copied.</small>
    </label>
    <label class="field">Key<input ...${field("key")} maxlength="64" list="publication-keys" placeholder="my-data" />
      <small>The name of the key that signs every version. ${form.key.trim() === "" || keys.includes(form.key.trim()) ? "The key stays on the machine of the daemon." : "A new key of this name is made on the machine of the daemon."}</small>
    </label>
    <datalist id="publication-keys">${keys.map((k) => html`<option value=${k} />`)}</datalist>
    <details>
      <summary>More</summary>
      <div class="fields">
        <label class="field">Name within the key<input ...${field("salt")} maxlength="64" /><small>Only if the key has several publications.</small></label>
        <label class="field">New versions
          <select value=${form.watch} onChange=${(e) => setForm({ ...form, watch: e.target.value })}>
            <option value="">by hand</option>
            <option value="60">when it changes, checked every minute</option>
            <option value="600">when it changes, checked every 10 minutes</option>
            <option value="3600">when it changes, checked every hour</option>
          </select>
        </label>
        <label class="field">Kind of torrent
          <select value=${form.format} onChange=${(e) => setForm({ ...form, format: e.target.value })}>
            <option value="">hybrid, or as last time</option>
            <option value="hybrid">hybrid: v1 and v2, not for Transmission 3 and aria2</option>
            <option value="v1">v1: for all clients</option>
            <option value="v2">v2: for newer clients</option>
          </select>
        </label>
      </div>
    </details>
  </${Dialog}>`;
}

/** Publishing shows the job of a publication until its link is there. It can be closed before: the job goes on. */
export function Publishing({ close, number, reload }) {
  const job = useJob(number, reload);
  const isDone = job?.status === "done";
  const open = async () => {
    const list = await get("v1/publications");
    const made = list.publications.find((p) => p.link === job.link);
    navigate(made ? href("publications", made.target) : href("publications"));
  };
  return html`<${Dialog} title=${isDone ? "Published" : "Publishing"} close=${close} leave="Close" ...${isDone && { action: "Show it", submit: open }}>
    ${job && html`<${JobProgress} job=${job} />`}
    ${job?.status === "running" && html`<p class="muted">You can close this: the daemon continues.</p>`}
    ${isDone &&
    html`<p>Version ${format.number(job.seq)} is published. Whoever follows this link gets it and every later one:</p>
      <div class="copy-line"><input readonly data-focus class="mono" aria-label="Link" value=${job.link} onFocus=${(e) => e.target.select()} /><${CopyButton} text=${job.link} what="the link" /></div>`}
  </${Dialog}>`;
}
