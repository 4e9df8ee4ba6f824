// The groups of settings, and how a setting is called on the page.

const titles = { rates: "Rates", peers: "Peers", seeding: "Seeding goals", queue: "Queue", folders: "Folders", access: "Access", sources: "Watched folders and feeds", hooks: "Commands at events" };

/** groups returns settings by their groups, in the order of the page: [{id, title, settings}]. */
export function groups(settings) {
  const by = new Map(Object.keys(titles).map((id) => [id, []]));
  for (const s of settings) {
    const id = s.group || "others";
    if (!by.has(id)) by.set(id, []);
    by.get(id).push(s);
  }
  return [...by].filter(([, list]) => list.length > 0).map(([id, list]) => ({ id, title: titles[id] || "Others", settings: list }));
}

const words = { up: "upload", down: "download", alt: "alternative", dir: "folder", rss: "RSS feeds" };

/** title returns the name of a setting in words: "alt-up-limit" is "Alternative upload limit". */
export function title(name) {
  const text = name.split("-").map((w) => words[w] || w).join(" ");
  return text[0].toUpperCase() + text.slice(1);
}

/** valueOf returns the value of a setting as its field has it: a text, or a list of texts. */
export const valueOf = (s) => (s.type === "list" ? s.values || [] : s.value);

/** isSame reports whether two values of a setting are the same. */
export const isSame = (a, b) => JSON.stringify(a) === JSON.stringify(b);
