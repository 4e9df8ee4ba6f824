// The frame around the views: the header with the state of the node, and the navigation.
import { html, useEffect, useState } from "./html.js";
import * as format from "./format.js";
import { showKeys, useKeys } from "./keys.js";
import { useObservable } from "./observable.js";
import { href, navigate, route } from "./router.js";
import { logout, may } from "./session.js";
import { connection, node, retryNow } from "./store.js";
import { AddButton, useAdding } from "./add/open.js";
import { Icon } from "./ui/icon.js";
import { keepFocus } from "./ui/focus.js";
import { ErrorText, Loading } from "./ui/message.js";
import { toastError } from "./ui/toast.js";
import { outdated } from "./version.js";
import { views } from "./views/registry.js";

export function Shell() {
  const { view: name, args, query } = useObservable(route);
  const allowed = views.filter((v) => may(v.scope));
  const view = allowed.find((v) => v.name === name) || allowed[0];
  useKeys("Page", [
    { keys: ["?"], title: "Show the keys", run: showKeys },
    ...allowed.map((v, i) => ({ keys: [String(i + 1)], title: v.title, run: () => navigate(href(v.name)) })),
  ]);
  useEffect(() => {
    document.title = view.title + " · seedbed";
  }, [view]);
  useAdding();
  return html`<div class="shell">
    <a class="skip" href="#main" onClick=${(e) => (e.preventDefault(), document.getElementById("main").focus())}>Skip to the content</a>
    <header class="top">
      <a class="brand" href=${href("torrents")}>seedbed</a>
      <nav aria-label="Views">
        ${allowed.map(
          (v) => html`<a href=${href(v.name)} aria-current=${v === view ? "page" : undefined} title=${v.title}><${Icon} name=${v.name} /><span data-text=${v.title}>${v.title}</span></a>`,
        )}
      </nav>
      <${NodeState} />
      ${may("add") && html`<${AddButton} />`}
      <button class="quiet keys-button" aria-label="Keys" title="Keys (?)" onClick=${showKeys}><${Icon} name="keys" /></button>
      <button class="quiet" aria-label="Log out" title="Log out" onClick=${() => logout().catch(toastError)}><${Icon} name="logout" /></button>
    </header>
    <${Connection} />
    <main id="main" tabindex="-1"><${View} key=${view.name} view=${view} args=${args} query=${query} /></main>
  </div>`;
}

function NodeState() {
  const n = useObservable(node);
  if (!n) return html`<div class="node-state"></div>`;
  return html`<div class="node-state">
    <span title="Download rate of all torrents"><${Icon} name="down" /><span class="hidden">Download </span>${format.rate(n.down_rate)}</span>
    <span title="Upload rate of all torrents"><${Icon} name="up" /><span class="hidden">Upload </span>${format.rate(n.up_rate)}</span>
    ${n.reachability.map((r) => html`<${ReachabilityState} r=${r} router=${n.routers.find((x) => x.external === r.addr)} />`)}
    ${n.routers.filter((x) => !n.reachability.some((r) => r.verdict !== "unknown" && r.addr === x.external)).map((r) => html`<${RouterState} r=${r} />`)}
    <span title="Good nodes of the DHT" class=${n.dht_nodes === 0 ? "warn" : ""}>DHT ${format.number(n.dht_nodes)}</span>
  </div>`;
}

/** ReachabilityState says whether others can connect to the node over one address family, once that is known. */
function ReachabilityState({ r, router }) {
  const mapped = router ? `. Mapped by ${router.method} in the router ${router.gateway}` : "";
  if (r.verdict === "reachable") return html`<span title=${r.text + mapped + (r.hint ? `: ${r.hint}` : "")} class=${r.hint ? "warn" : ""}>${r.addr || "reachable"}</span>`;
  return r.verdict === "not_reachable" && html`<span class="warn" title=${`${r.text}: ${r.hint}`}>not reachable</span>`;
}

/** RouterState says at which address a router makes the node reachable, or why it does not. */
function RouterState({ r }) {
  if (r.external) return html`<span title=${`Mapped by ${r.method} in the router ${r.gateway}${r.hint ? `: ${r.hint}` : ""}`}>${r.external}</span>`;
  return r.error && html`<span title=${`${r.error}: ${r.hint}`}>port not mapped</span>`;
}

/** Connection says that the daemon does not answer, and when the page tries again, or that it has another version of the page. */
function Connection() {
  const c = useObservable(connection);
  const isOld = useObservable(outdated);
  const [, tick] = useState(0);
  const offline = c.state === "offline";
  useEffect(() => {
    if (!offline) return;
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, [offline]);
  if (!offline && isOld)
    return html`<div class="offline" role="status"><span>The daemon has another version of this page now.</span><button onClick=${() => location.reload()}>Load it</button></div>`;
  if (!offline) return null;
  const left = Math.max(0, Math.ceil((c.retry - Date.now()) / 1000));
  return html`<div class="offline" role="alert">
    <span>The daemon does not answer. What you see is its last known state; it is brought up to date when the daemon answers.</span>
    <button onClick=${retryNow}>Try now${left > 1 ? ` (${left} s)` : ""}</button>
  </div>`;
}

/** View loads a view and shows it. */
function View({ view, args, query }) {
  const [loaded, setLoaded] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    view.load().then(
      (m) => setLoaded({ component: m.default }),
      () => setError({ message: `The view ${view.title} could not be loaded.`, hint: "Load the page again: the daemon may have another version now." }),
    );
  }, []);
  useEffect(keepFocus, [loaded]);
  if (error) return html`<${ErrorText} error=${error} />`;
  if (!loaded) return html`<${Loading} what="the view" />`;
  return html`<${loaded.component} args=${args} query=${query} />`;
}
