// The route is in the fragment of the URL: #/view/argument/...?name=value
import { Observable } from "./observable.js";

function parse() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...args] = path.split("/").map(decode);
  return { view: view || "torrents", args, query: new URLSearchParams(query || "") };
}

function decode(s) {
  try {
    return decodeURIComponent(s);
  } catch {
    return s;
  }
}

/** route is where the page is: {view, args, query}. */
export const route = new Observable(parse());
addEventListener("hashchange", () => route.set(parse()));

/** href returns the link to a view. */
export const href = (...parts) => "#/" + parts.map(encodeURIComponent).join("/");

/** navigate opens a view; with replace, going back skips the present one. */
export function navigate(to, replace = false) {
  if (!replace) {
    location.hash = to;
    return;
  }
  history.replaceState(null, "", location.pathname + location.search + to);
  route.set(parse());
}
