// The dialog that follows a publication.
import { request } from "../api.js";
import { isName, isPublication } from "../add/links.js";
import { html, useState } from "../html.js";
import { href, navigate } from "../router.js";
import { Dialog } from "../ui/dialog.js";
import { toast } from "../ui/toast.js";
import { Interval, usualInterval } from "./interval.js";

export function NewFollow({ close, reload, link: first = "" }) {
  const [form, setForm] = useState({ link: first, dir: "", keep: "1", poll: usualInterval, keepAlive: false, accept: false });
  const [isChanged, setChanged] = useState(false);
  const set = (change) => setForm({ ...form, ...change });
  const link = form.link.trim();
  const submit = async () => {
    const body = { link, keep: Number(form.keep), poll_s: Number(form.poll), keep_alive: form.keepAlive };
    if (form.dir.trim()) body.dir = form.dir.trim();
    if (isChanged && form.accept) body.accept_change = true;
    const answer = await request("POST", "v1/follows", body).catch((e) => {
      if (isName(link) && e.kind === "conflict") setChanged(true);
      throw e;
    });
    const followed = await answer.json();
    toast(answer.status === 200 ? "You follow this publication already. Its folder and options were not changed." : "The daemon follows the publication and downloads its newest version when it finds it.");
    await reload();
    navigate(href("follows", followed.target));
  };
  return html`<${Dialog} title="Follow a publication" close=${close} action="Follow" ready=${isPublication(link)} submit=${submit}>
    <label class="field">Link or name
      <textarea data-focus rows="3" value=${form.link} onInput=${(e) => set({ link: e.target.value })} spellcheck="false" placeholder="magnet:?xs=urn:btpk:… or example.org"></textarea>
      <small>${link && !isPublication(link) ? "This link has no public key (xs=urn:btpk:). Add it as a torrent instead." : "The link that its publisher gives out, or the domain that names it in the DNS. It stays the same for all versions."}</small>
    </label>
    <label class="field">Folder<input value=${form.dir} onInput=${(e) => set({ dir: e.target.value })} spellcheck="false" autocomplete="off" placeholder="a new folder in that of the daemon" />
      <small>Each version gets a folder in it, and "current" leads to the newest complete one.</small>
    </label>
    <div class="fields">
      <label class="field">Earlier versions to keep<input type="number" min="0" max="1000" value=${form.keep} onInput=${(e) => set({ keep: e.target.value })} /></label>
      <${Interval} value=${form.poll} set=${(poll) => set({ poll })} />
    </div>
    ${isChanged && html`<label class="check"><input type="checkbox" checked=${form.accept} onChange=${(e) => set({ accept: e.target.checked })} /> Accept the other key, and end the follow of the earlier one</label>`}
    <label class="check"><input type="checkbox" checked=${form.keepAlive} onChange=${(e) => set({ keepAlive: e.target.checked })} /> Keep the link alive while its publisher is offline</label>
  </${Dialog}>`;
}
