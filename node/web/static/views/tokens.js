// The tokens: who may use the daemon, and for what.
import { post, remove } from "../api.js";
import * as format from "../format.js";
import { html, useState } from "../html.js";
import { useResource } from "../resource.js";
import { session } from "../session.js";
import { CopyButton } from "../ui/copy.js";
import { Dialog, confirm, openDialog } from "../ui/dialog.js";
import { Icon } from "../ui/icon.js";
import { Empty, ErrorText, Loading } from "../ui/message.js";
import { Table } from "../ui/table.js";
import { toast } from "../ui/toast.js";

const scopes = [
  { id: "read", title: "Read", text: "sees everything, and changes nothing." },
  { id: "add", title: "Add", text: "also adds, starts and pauses torrents, follows publications and uses the DHT." },
  { id: "admin", title: "Admin", text: "also removes torrents and data, publishes, and changes settings and tokens." },
];

export default function Tokens() {
  const { data, error, reload } = useResource("v1/tokens");
  const columns = [
    { id: "name", title: "Name", value: (t) => (t.name || "").toLowerCase(), cell: (t) => (t.name ? format.name(t.name) : html`<span class="muted">without a name</span>`) },
    { id: "scope", title: "Scope", value: (t) => t.scope, cell: (t) => t.scope },
    { id: "created", title: "Created", value: (t) => t.created, cell: (t) => format.date(t.created) },
    { id: "id", title: "Id", wide: true, cell: (t) => html`<code>${t.id}</code>` },
    { id: "revoke", title: html`<span class="hidden">Actions</span>`, align: "end", cell: (t) => html`<button type="button" onClick=${() => askRevoke(t, reload)} aria-label=${`Revoke ${title(t)}`}>Revoke…</button>` },
  ];
  return html`<div class="view">
    <div class="view-head">
      <h1>Tokens</h1>
      <button type="button" class="primary" onClick=${() => openDialog(NewToken, { reload })}><${Icon} name="add" />New token</button>
    </div>
    <p class="lead">A token lets a program or a browser use this daemon. Give each one its own, with the smallest scope that is enough, so that you can revoke one without the others.</p>
    ${error && html`<${ErrorText} error=${error} />`}
    ${!data && !error && html`<${Loading} what="the tokens" />`}
    ${data &&
    html`<${Table} label="Tokens" columns=${columns} rows=${data.tokens} rowKey=${(t) => t.id} order=${{ id: "created", down: true }}
      empty=${html`<${Empty} title="There is no token yet"><p>Only programs on the machine of the daemon can use it now. Make a token for others.</p></${Empty}>`} />`}
  </div>`;
}

const title = (t) => (t.name ? format.name(t.name) : `the token ${t.id}`);

function askRevoke(t, reload) {
  const own = session.value?.token === t.id;
  confirm({
    title: `Revoke ${title(t)}?`,
    text: own ? "This page was opened with this token: you will be logged out." : "Programs and browsers that use this token are refused from now on. This cannot be undone.",
    action: "Revoke",
    danger: true,
    run: async () => {
      await remove(`v1/tokens/${encodeURIComponent(t.id)}`);
      toast(`Revoked ${title(t)}.`);
      if (!own) await reload();
    },
  });
}

/** NewToken asks for the scope and name of a token, and then shows its secret. */
function NewToken({ close, reload }) {
  const [name, setName] = useState("");
  const [scope, setScope] = useState("read");
  const submit = async () => {
    const made = await post("v1/tokens", { scope, ...(name.trim() && { name: name.trim() }) });
    reload();
    openDialog(Secret, { made });
  };
  return html`<${Dialog} title="New token" close=${close} action="Create" submit=${submit}>
    <label class="field">Name<input data-focus value=${name} maxlength="64" onInput=${(e) => setName(e.target.value)} autocomplete="off" /><small>For this list, such as the name of the program that will use it.</small></label>
    <fieldset class="choices">
      <legend>Scope</legend>
      ${scopes.map(
        (s) => html`<label class="check"><input type="radio" name="scope" value=${s.id} checked=${scope === s.id} onChange=${() => setScope(s.id)} /><span><b>${s.title}</b> ${s.text}</span></label>`,
      )}
    </fieldset>
  </${Dialog}>`;
}

/** Secret shows the text of a new token: the daemon does not keep it. */
function Secret({ close, made }) {
  return html`<${Dialog} title=${`The token ${made.name ? format.name(made.name) : made.id}`} close=${close}>
    <p>Copy it now: it cannot be shown again.</p>
    <div class="copy-line"><input readonly data-focus class="mono" aria-label="The token" value=${made.text} onFocus=${(e) => e.target.select()} /><${CopyButton} text=${made.text} what="the token" /></div>
    <p class="muted">Programs send it in the header <code>Authorization: Bearer …</code>, or as the password.</p>
  </${Dialog}>`;
}
