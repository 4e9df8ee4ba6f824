// The words for pins.
import { titleOf as titleOfLink } from "../add/links.js";
import * as format from "../format.js";

/** states has the words for the states of a pin. */
export const states = { searching: "Searching", fetching: "Downloading", held: "Held", over_quota: "Over the quota", elsewhere: "Held without the pin", failed: "Failed" };

/** titleOf returns what to call a pin or a list: its name, that in its link, or the beginning of its id. */
export function titleOf(p) {
  if (p.name) return format.name(p.name);
  const name = titleOfLink(p);
  return name === p.link ? p.id.slice(0, 8) : format.name(name);
}
