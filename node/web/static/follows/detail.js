// One publication that is followed: its current version, the next one, and earlier ones.
import { post, remove } from "../api.js";
import * as format from "../format.js";
import { html } from "../html.js";
import { href, navigate } from "../router.js";
import { may } from "../session.js";
import { CopyButton } from "../ui/copy.js";
import { confirm } from "../ui/dialog.js";
import { OpenInBrowser } from "../ui/gateway.js";
import { Guarded, ScopeNote } from "../ui/guarded.js";
import { toast, toastError } from "../ui/toast.js";
import { OnDisk } from "./ondisk.js";
import { Current, Next, titleOf, useTorrents } from "./state.js";

export function Detail({ follow: f, reload }) {
  useTorrents();
  const check = () => post(`v1/follows/${f.target}/check`).then(() => toast("Looking for a newer version in the DHT."), toastError);
  const askStop = () =>
    confirm({
      title: `Stop following ${titleOf(f)}?`,
      text: "The daemon no longer looks for new versions and no longer seeds this one. What was downloaded stays on disk.",
      action: "Stop following",
      danger: true,
      run: async () => {
        await remove(`v1/follows/${f.target}`);
        toast("The publication is no longer followed. Its files stay on disk.");
        navigate(href("follows"), true);
        await reload();
      },
    });
  return html`<div class="view">
    <div class="view-head">
      <a class="back" href=${href("follows")}>Follows</a>
      <h1>${titleOf(f)}</h1>
      <${Guarded} scope="add" onClick=${check}>Check now</${Guarded}>
      <${Guarded} scope="admin" onClick=${askStop}>Stop following…</${Guarded}>
    </div>
    <${ScopeNote} scope=${may("add") ? "admin" : "add"} actions="go back to a version or stop following" />
    <section class="card" aria-labelledby="now-title">
      <h2 id="now-title">Now</h2>
      <dl class="facts-list">
        <div><dt>Current version</dt><dd><${Current} follow=${f} />${f.infohash && html` · <a href=${href("torrents", f.infohash)}>its torrent</a>`}</dd></div>
        <div><dt>Next version</dt><dd><${Next} follow=${f} /></dd></div>
        ${f.current_dir && html`<div><dt>Its folder</dt><dd class="path mono">${format.name(f.current_dir)}</dd></div>`}
        <div><dt>Checked</dt><dd>every ${format.span(f.poll_s)}, more often just after a change</dd></div>
        <div><dt>Kept</dt><dd>${f.keep === 0 ? "only the current version" : `${format.plural(f.keep, "earlier version")} beside the current one`}</dd></div>
        ${f.delegation_expires && html`<div><dt>Delegated</dt><dd>to ${format.plural(f.delegates.length, "other key")} until ${format.date(f.delegation_expires)}${new Date(f.delegation_expires) < Date.now() && html` <span class="badge">expired</span>`}</dd></div>`}
        ${f.signed_by && html`<div><dt>Current version signed by</dt><dd class="mono">${f.signed_by}</dd></div>`}
        <div><dt>Link</dt><dd>${f.keep_alive ? "kept alive while its publisher is offline" : "not kept alive here"}</dd></div>
      </dl>
      <div class="copy-line"><input readonly class="mono" aria-label="Link" value=${f.link} onFocus=${(e) => e.target.select()} /><${CopyButton} text=${f.link} what="the link" title="Copy the link" /></div>
      <${OpenInBrowser} link=${f.link} />
    </section>
    <${OnDisk} follow=${f} reload=${reload} />
  </div>`;
}
