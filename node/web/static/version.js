// The version of the page. After an upgrade of the daemon, a page that is open is the old one, and cannot load its other views.
import { request } from "./api.js";
import { Observable } from "./observable.js";

/** outdated says whether the daemon has another version of the page. */
export const outdated = new Observable(false);

const pathIn = (text) => /\bpage\/[0-9a-f]+\//.exec(text)?.[0];
const own = pathIn(import.meta.url);

/** checkVersion asks for the version of the daemon. If it is another one, it loads that, unless this would lose what was typed or is playing. */
export async function checkVersion(signal) {
  try {
    const now = pathIn(await (await request("GET", "", undefined, { signal })).text());
    if (!now || now === own) return;
    // Once: a proxy may have kept the old page.
    if (isInUse() || sessionStorage.getItem("seedbed.version") === now) return outdated.set(true);
    sessionStorage.setItem("seedbed.version", now);
    location.reload();
  } catch {
    // the event stream fails too
  }
}

const isInUse = () =>
  !dispatchEvent(new Event("beforeunload", { cancelable: true })) || // something asks to stay
  document.querySelector("dialog[open], video, audio") ||
  [...document.querySelectorAll("input, textarea")].some((e) => e.value !== e.defaultValue || e.checked !== e.defaultChecked);
