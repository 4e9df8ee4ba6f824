// The start of the page: the login, then the shell with its views.
import { html, render, useEffect, useState } from "./html.js";
import { useObservable } from "./observable.js";
import { navigate, route } from "./router.js";
import { login, resume, session } from "./session.js";
import { Shell } from "./shell.js";
import "./torrent/samples.js"; // the plots begin when the page is opened
import { Host } from "./ui/host.js";
import { ErrorText } from "./ui/message.js";
import { Login } from "./views/login.js";

/** begin uses the code in the URL, if there is one, or the session of an earlier visit. */
async function begin() {
  const { view, args, query } = route.value;
  if (view !== "login") return resume();
  navigate(query.get("next") || "#/torrents", true); // the code is of no use any more, and need not be in the history
  if (!args[0]) return resume();
  try {
    await login({ code: args[0] });
  } catch (e) {
    await resume();
    if (!session.value) throw e;
  }
}

function App() {
  const s = useObservable(session);
  const [error, setError] = useState(null);
  const start = () => {
    setError(null);
    begin().catch(setError);
  };
  useEffect(start, []);
  if (s) return html`<${Shell} />`;
  if (s === null) return html`<${Login} error=${error} />`;
  return html`<main class="login">
    ${error ? html`<${ErrorText} error=${error} /><button class="primary" onClick=${start}>Try again</button>` : html`<p role="status">Connecting to the daemon…</p>`}
  </main>`;
}

render(html`<${App} /><${Host} />`, document.getElementById("app"));
