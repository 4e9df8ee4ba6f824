// The link of a publication, to give to others.
import * as format from "../format.js";
import { html, useState } from "../html.js";
import { CopyButton } from "../ui/copy.js";
import { OpenInBrowser } from "../ui/gateway.js";

export function Share({ publication: p }) {
  const [failed, setFailed] = useState(false);
  const source = `v1/qr?text=${encodeURIComponent(p.link)}`;
  return html`<section class="card share" aria-labelledby="link-title">
    <div class="share-text">
      <h2 id="link-title">Link</h2>
      <p>It stays the same for all versions. Open it in another seedbed to follow this publication.</p>
      <div class="copy-line"><input readonly class="mono" aria-label="Link" value=${p.link} onFocus=${(e) => e.target.select()} /><${CopyButton} text=${p.link} what="the link" title="Copy the link" /></div>
      <${OpenInBrowser} link=${p.link} />
    </div>
    ${!failed && html`<img class="qr" src=${source} width="160" height="160" alt=${`QR code of the link of ${format.name(p.name)}`} onError=${() => setFailed(true)} />`}
  </section>`;
}
