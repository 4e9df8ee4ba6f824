// Texts by which names are sorted and searched. They are made once for each name, not at each comparison.

const keys = new WeakMap(); // by torrent

/** nameKey returns a text by which names sort as people expect: regardless of case, and numbers by their value. */
export function nameKey(t) {
  let key = keys.get(t);
  if (key === undefined) {
    key = t.name.slice(0, 300).toLowerCase().replace(/\d+/g, (d) => d.padStart(9, "0"));
    keys.set(t, key);
  }
  return key;
}

/** matches returns a function that reports whether a torrent has all words of a search in its name, infohash, labels, category or folder. */
export function matches(search) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return (t) => {
    const text = [t.name, t.category, t.dir, ...t.labels].join("\n").toLowerCase();
    return words.every((w) => text.includes(w) || t.infohash.startsWith(w));
  };
}
