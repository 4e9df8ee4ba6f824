// The settings that can change while the daemon runs. All changes are saved together, or none.
import { patch } from "../api.js";
import * as format from "../format.js";
import { html, useEffect, useState } from "../html.js";
import { useKeys } from "../keys.js";
import { useObservable } from "../observable.js";
import { useResource } from "../resource.js";
import { cleaned, discard, draft, drafts } from "../settings/drafts.js";
import { Field } from "../settings/field.js";
import { groups, title, valueOf } from "../settings/groups.js";
import { ErrorText, Loading } from "../ui/message.js";
import { toast } from "../ui/toast.js";

export default function Settings() {
  const { data, error, reload } = useResource("v1/settings");
  const changed = useObservable(drafts);
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState(null); // {name, error}: why nothing was saved, and by which setting
  const count = Object.keys(changed).length;

  const save = async () => {
    if (busy || Object.keys(drafts.value).length === 0) return;
    setBusy(true);
    setRefused(null);
    try {
      await patch("v1/settings", cleaned());
      toast(`Saved ${format.plural(Object.keys(drafts.value).length, "setting")}.`);
      discard();
      await reload();
    } catch (e) {
      setRefused({ name: nameIn(e.message, drafts.value), error: e });
    }
    setBusy(false);
  };
  useKeys("Settings", [{ keys: ["Ctrl+S"], title: "Save the changes", run: save }]);
  useEffect(() => {
    if (refused?.name) document.getElementById("setting-" + refused.name)?.focus();
  }, [refused]);

  if (!data) return html`<div class="view"><h1>Settings</h1>${error ? html`<${ErrorText} error=${error} />` : html`<${Loading} what="the settings" />`}</div>`;
  const set = (s) => (value) => {
    if (refused?.name === s.setting) setRefused(null);
    draft(s, value);
  };
  return html`<form class="view settings" noValidate onSubmit=${(e) => (e.preventDefault(), save())}>
    <h1>Settings</h1>
    <p class="lead">What can change while the daemon runs. Changes hold at once and after a restart.</p>
    ${error && html`<${ErrorText} error=${error} />`}
    <div class="setting-groups">
      ${groups(data.settings).map(
        (g) => html`<section class="card" aria-labelledby=${"group-" + g.id}>
          <h2 id=${"group-" + g.id}>${g.title}</h2>
          ${g.settings.map((s) => {
            const isChanged = s.setting in changed;
            return html`<${Field} key=${s.setting} setting=${s} isChanged=${isChanged} value=${isChanged ? changed[s.setting] : valueOf(s)}
              error=${refused?.name === s.setting ? textOf(refused) : ""} set=${set(s)} />`;
          })}
        </section>`,
      )}
    </div>
    ${(count > 0 || refused) &&
    html`<div class="save-bar">
      <span role="status">${refused ? `Nothing was saved${refused.name ? `: see ${title(refused.name)}.` : "."}` : `${format.plural(count, "change")} not saved`}</span>
      ${refused && !refused.name && html`<${ErrorText} error=${refused.error} />`}
      <button type="button" disabled=${busy} onClick=${() => (setRefused(null), discard())}>Discard</button>
      <button type="submit" class="primary" disabled=${busy || count === 0}>${busy ? "Saving…" : "Save"}</button>
    </div>`}
  </form>`;
}

/** nameIn returns the setting that an error names: "port: ...". */
function nameIn(message, changed) {
  const name = message.slice(0, message.indexOf(":"));
  return name in changed ? name : "";
}

const textOf = ({ name, error }) => error.message.slice(name.length + 1).trim() + (error.hint ? `. ${error.hint}` : "");
