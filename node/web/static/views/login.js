// The login: with a token, or with the code of a URL that seedbed open has made.
import { html, useState } from "../html.js";
import { login } from "../session.js";
import { ErrorText } from "../ui/message.js";

/** Login asks for a token. first is why a login with a code has failed; it may come later than the form. */
export function Login({ error: first }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const submit = async (e) => {
    e.preventDefault();
    setBusy(true);
    try {
      await login({ token: token.trim() });
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  return html`<main class="login">
    <form onSubmit=${submit}>
      <h1>seedbed</h1>
      <label class="field"
        >Token
        <input type="password" name="token" autocomplete="current-password" required autofocus value=${token} onInput=${(e) => setToken(e.target.value)} />
      </label>
      ${(error || first) && html`<${ErrorText} error=${error || first} />`}
      <button type="submit" class="primary" disabled=${busy || token.trim() === ""}>${busy ? "Logging in…" : "Log in"}</button>
      <p>
        On the machine of the daemon, <code>seedbed open</code> opens this page without a token, and <code>seedbed token new admin</code> makes a token.
      </p>
    </form>
  </main>`;
}
