// Requests about several torrents.
import { each } from "../api.js";
import { plural } from "../format.js";
import { putTorrent } from "../store.js";

export const path = (t) => `v1/torrents/${t.infohash}`;

/** forAll runs a request for each torrent. If some fail, it throws the first error and says how many. */
export async function forAll(torrents, what, request) {
  const errors = await each(torrents, async (t) => putTorrent(await request(t)));
  if (errors.length === 0) return;
  const e = errors[0];
  if (torrents.length > 1) e.message = `${what}: ${errors.length} of ${plural(torrents.length, "torrent")} failed. The first: ${e.message}`;
  throw e;
}
