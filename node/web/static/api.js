// Requests to the REST interface (docs/openapi.json). Paths are relative to the page, which may be below a base path.

/** ApiError is an answer that says what went wrong, and a hint that says what to do. */
export class ApiError extends Error {
  constructor(status, message, hint = "", kind = "") {
    super(message);
    this.status = status; // 0: there was no answer
    this.hint = hint;
    this.kind = kind;
  }
}

let loggedOut = () => {};

/** onLoggedOut sets the function that is called when an answer says that the session has ended. */
export function onLoggedOut(f) {
  loggedOut = f;
}

// The header tells the daemon that the page has its own form for logins.
export const headers = { "X-Requested-With": "seedbed" };

/** request sends a request and returns the response; an answer that is an error is thrown. */
export async function request(method, path, body, { signal, headers: more } = {}) {
  const init = { method, signal, headers: { ...headers, ...more }, cache: "no-store", credentials: "same-origin" };
  if (body !== undefined) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(new URL(path.replace(/^\//, ""), document.baseURI), init);
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new ApiError(0, "The daemon does not answer.", "Check that it runs and that this machine can reach it.");
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (response.status === 401 && path !== "v1/session") loggedOut();
  throw problem;
}

async function problemOf(response) {
  const text = await response.text().catch(() => "");
  try {
    const p = JSON.parse(text);
    const detail = [p.detail || p.title || response.statusText, ...(p.errors || [])].join("; ");
    return new ApiError(response.status, detail, p.hint, p.kind);
  } catch {
    return new ApiError(response.status, text.trim() || `The daemon answered with ${response.status} ${response.statusText}.`);
  }
}

/** api sends a request and returns the object in the answer, or null if it has none. */
export async function api(method, path, body, options) {
  const response = await request(method, path, body, options);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** get reads an object. within limits the time, in ms: the answer of a connection that is dead never comes, and never fails. */
export const get = (path, { signal, within } = {}) =>
  api("GET", path, undefined, { signal: within ? AbortSignal.any([signal, AbortSignal.timeout(within)]) : signal });
export const post = (path, body, options) => api("POST", path, body, options);
export const put = (path, body, options) => api("PUT", path, body, options);
export const patch = (path, body, options) => api("PATCH", path, body, options);
export const remove = (path, options) => api("DELETE", path, undefined, options);

/** each runs do for every item, a few at once, and returns the errors. */
export async function each(items, do_, atOnce = 4) {
  const errors = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const item = items[next++];
      try {
        await do_(item);
      } catch (e) {
        errors.push(e);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return errors;
}
