// The versions of a followed publication that are on disk.
import { put, remove } from "../api.js";
import * as format from "../format.js";
import { html, useEffect } from "../html.js";
import { useResource } from "../resource.js";
import { Guarded } from "../ui/guarded.js";
import { ErrorText, Loading } from "../ui/message.js";
import { toast, toastError } from "../ui/toast.js";
import { Differences } from "../versions/differences.js";
import { Versions } from "../versions/list.js";

export function OnDisk({ follow: f, reload: reloadFollow }) {
  const { data, error, reload } = useResource(`v1/follows/${f.target}/versions`);
  useEffect(() => void reload(), [f.seq]);
  const change = (request, done) => () =>
    request()
      .then(() => toast(done))
      .then(() => Promise.all([reload(), reloadFollow()]))
      .catch(toastError);
  const stay = (v) => change(() => put(`v1/follows/${f.target}/stay`, { seq: v.seq }), `Version ${format.number(v.seq)} is current and stays current.`);
  const actions = (v) => !v.current && html`<${Guarded} scope="admin" onClick=${stay(v)} title="Make this version the current one, and stay there">Go back to it</${Guarded}>`;
  return html`<section class="card" aria-labelledby="versions-title">
    <h2 id="versions-title">Versions on disk</h2>
    ${error && html`<${ErrorText} error=${error} />`}
    ${!data && !error && html`<${Loading} what="the versions" />`}
    ${data?.versions.length === 0 && html`<p class="muted">None yet: a version is shown when it is complete.</p>`}
    ${data?.versions.length > 0 && html`<${Versions} versions=${data.versions} current=${data.versions.find((v) => v.current)?.seq} actions=${actions} />`}
    ${f.stays && html`<p>
      The current version stays, though newer ones may be published. <${Guarded} scope="admin" onClick=${change(() => remove(`v1/follows/${f.target}/stay`), "The newest version becomes current when it is complete.")}>Continue with the newest</${Guarded}>
    </p>`}
    ${data?.versions.length > 1 && html`<${Differences} path=${`v1/follows/${f.target}`} versions=${data.versions} />`}
  </section>`;
}
