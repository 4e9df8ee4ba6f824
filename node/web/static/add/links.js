// What people paste and drop: links, infohashes and .torrent files.

const infohash = /^(?:[0-9a-f]{40}|[0-9a-f]{64}|[a-z2-7]{32})$/i;
const maxTorrent = 64 << 20; // bytes, as the daemon takes them

/** isName reports whether a word can be the domain name of a publication. The daemon checks it. */
export const isName = (word) => /^(?:[\p{L}\p{N}-]+\.)+[\p{L}][\p{L}\p{N}-]+\.?$/u.test(word) && !/\.torrent$/i.test(word);

/** findLinks returns the magnet links and infohashes in a text, each as {link}, or the name if the text is one. */
export function findLinks(text) {
  if (isName(text.trim())) return [{ link: text.trim() }];
  return text
    .split(/[\s<>"']+/)
    .filter((w) => /^magnet:\?/i.test(w) || infohash.test(w))
    .map((link) => ({ link }));
}

/** isPublication reports whether a link names a publication, whose newest version can be followed: by its key or its domain. */
export const isPublication = (link) => isName(link) || /[?&]xs=urn(?::|%3a)btpk(?::|%3a)/i.test(link);

/** hasTorrent reports whether a link names a torrent too. */
export const hasTorrent = (link) => infohash.test(link) || /[?&]xt(?:\.\d+)?=urn(?::|%3a)bt(?:ih|mh)(?::|%3a)/i.test(link);

/** titleOf returns the name in a link, or the link. */
export function titleOf({ link, title }) {
  if (title) return title;
  const name = /[?&]dn=([^&]*)/i.exec(link);
  if (!name) return link;
  try {
    return decodeURIComponent(name[1].replace(/\+/g, " "));
  } catch {
    return name[1];
  }
}

/** readTorrent returns a dropped file as {torrent, title}, in base64. */
export async function readTorrent(file) {
  if (file.size > maxTorrent) throw new Error(`${file.name} is too large to be a .torrent file.`);
  const url = await new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(new Error(`${file.name} could not be read.`));
    reader.readAsDataURL(file);
  });
  const torrent = url.slice(url.indexOf(",") + 1);
  if (!torrent.startsWith("ZD")) throw new Error(`${file.name} is not a .torrent file.`);
  return { torrent, title: file.name.replace(/\.torrent$/i, "") };
}
