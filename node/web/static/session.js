// The login: a cookie that scripts cannot read, and what it may do.
import { get, onLoggedOut, post, remove } from "./api.js";
import { Observable } from "./observable.js";
import * as store from "./store.js";

/** session is undefined until the daemon has answered, null without a login, or {scope, token}. */
export const session = new Observable(undefined);

/** toAdd is what seedbed open was started with: {link} or {torrent}, or null. */
export const toAdd = new Observable(null);

const scopes = ["none", "read", "add", "admin"];

/** may reports whether the session has a scope. */
export const may = (scope) => scopes.indexOf(session.value?.scope ?? "none") >= scopes.indexOf(scope);

function begin(s) {
  if (s.add) toAdd.set(s.add);
  session.set(s);
  store.start();
}

function end() {
  store.stop();
  session.set(null);
}
onLoggedOut(end);

/** resume uses the session of an earlier visit, if it has not ended. */
export async function resume() {
  const s = await get("v1/session");
  if (s.scope === "none") end();
  else begin(s);
}

/** login begins a session with {token} or {code}. */
export async function login(credential) {
  begin(await post("v1/session", credential));
}

export async function logout() {
  await remove("v1/session");
  end();
}
