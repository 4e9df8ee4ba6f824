// Reading a publication in the browser.
import { html } from "../html.js";
import { useObservable } from "../observable.js";
import { node } from "../store.js";

// Hosts below localhost lead to the machine of the browser, so the gateway of a daemon elsewhere is out of reach.
const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);

/** OpenInBrowser links to a publication at the gateway of the daemon, if that is on and on this machine. */
export function OpenInBrowser({ link }) {
  const gateway = useObservable(node)?.gateway;
  if (!gateway || !isLocal) return null;
  return html`<p><a href=${`${gateway}?q=${encodeURIComponent(link)}`} target="_blank" rel="noreferrer">Open in the browser</a></p>`;
}
