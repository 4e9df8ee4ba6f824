// Changes that are not saved yet. They outlive the view, so that a look at another one loses nothing.
import { Observable } from "../observable.js";
import { isSame, valueOf } from "./groups.js";

/** drafts is the new values by the names of their settings; null undoes the change of a client. */
export const drafts = new Observable({});

/** draft notes a new value; the present one ends the draft. */
export function draft(setting, value) {
  const next = { ...drafts.value };
  if (value !== null && isSame(value, valueOf(setting))) delete next[setting.setting];
  else next[setting.setting] = value;
  drafts.set(next);
}

export const discard = () => drafts.set({});

/** cleaned returns the drafts as they are sent: without the empty lines of lists. */
export function cleaned() {
  return Object.fromEntries(Object.entries(drafts.value).map(([name, v]) => [name, Array.isArray(v) ? v.filter(Boolean) : v]));
}

addEventListener("beforeunload", (e) => {
  if (Object.keys(drafts.value).length > 0) e.preventDefault();
});
