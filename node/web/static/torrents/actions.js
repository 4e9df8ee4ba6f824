// What can be done with the selected torrents.
import { each, get, post } from "../api.js";
import { may } from "../session.js";
import { readPlaces, torrents as all } from "../store.js";
import { askLimits } from "../torrent/limits.js";
import { copy } from "../ui/copy.js";
import { toast, toastError } from "../ui/toast.js";
import { askLabels, askMove, askRemove, askRename } from "./dialogs.js";
import { forAll, path } from "./requests.js";

const simple = (what, verb) => (torrents) => forAll(torrents, what, (t) => post(`${path(t)}/${verb}`));
const queue = (to) => async (torrents) => {
  await forAll(torrents, "Queue", (t) => get(path(t))); // their present places
  // They keep their order among each other: those that are at the end already stay there.
  const ordered = torrents.map((t) => all.get(t.infohash) || t).sort((a, b) => (a.place - b.place) * (to === "top" || to === "down" ? -1 : 1));
  const [end, next] = { up: [1, 1], down: [all.size, -1] }[to] || [];
  const moved = ordered.filter((t, i) => t.place !== end + i * next);
  const errors = await each(moved, (t) => post(`${path(t)}/queue`, { to }), 1);
  await readPlaces();
  if (errors.length) throw errors[0];
};

async function copyMagnets(torrents) {
  await copy(torrents.map((t) => t.magnet).join("\n"));
  toast(torrents.length === 1 ? "The magnet link is in the clipboard." : `${torrents.length} magnet links are in the clipboard.`);
}

/** actions is all actions: {id, title, keys, scope, run(torrents)}; null is a line in a menu. */
export const actions = [
  { id: "pause", title: "Pause", keys: ["p"], scope: "add", run: simple("Pause", "pause") },
  { id: "resume", title: "Resume", keys: ["r"], scope: "add", run: simple("Resume", "resume") },
  { id: "start", title: "Start now", keys: ["R"], scope: "add", run: simple("Start", "start") },
  null,
  { id: "labels", title: "Labels and category…", keys: ["l"], scope: "add", run: askLabels },
  { id: "limits", title: "Limits and goals…", keys: ["L"], scope: "add", run: askLimits },
  { id: "move", title: "Move the data…", keys: ["m"], scope: "admin", run: askMove },
  { id: "rename", title: "Rename…", keys: ["F2"], scope: "admin", single: true, run: askRename },
  { id: "recheck", title: "Check the data", keys: ["c"], scope: "add", run: simple("Check", "recheck") },
  null,
  { id: "top", title: "To the top of the queue", keys: ["Alt+PageUp"], scope: "add", run: queue("top") },
  { id: "up", title: "Up in the queue", keys: ["Alt+ArrowUp"], scope: "add", run: queue("up") },
  { id: "down", title: "Down in the queue", keys: ["Alt+ArrowDown"], scope: "add", run: queue("down") },
  { id: "bottom", title: "To the bottom of the queue", keys: ["Alt+PageDown"], scope: "add", run: queue("bottom") },
  null,
  { id: "copy", title: "Copy the magnet link", keys: ["y"], scope: "read", run: copyMagnets },
  { id: "remove", title: "Remove…", keys: ["Delete", "Backspace"], scope: "admin", danger: true, run: askRemove },
];

/** canRun reports whether the session may run an action on that many torrents. */
export const canRun = (a, n) => n > 0 && may(a.scope) && (!a.single || n === 1);

/** run runs an action and shows its error. */
export const run = (a, torrents) => Promise.resolve(a.run(torrents)).catch(toastError);

/** menu returns the items of a menu for torrents. */
export const menu = (torrents) =>
  actions.map((a) => a && { title: a.title, key: a.keys[0], danger: a.danger, disabled: !canRun(a, torrents.length), run: () => run(a, torrents) });

