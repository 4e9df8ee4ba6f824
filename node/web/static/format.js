// Numbers, times and names as people read them. Units are those of the command line: decimal, with a space.

/** size formats bytes: "1.4 GB". */
export function size(n) {
  if (n < 1000) return `${n} B`;
  let i = -1;
  do {
    n /= 1000;
    i++;
  } while (n >= 999.5 && i < 5);
  return `${n < 9.95 ? n.toFixed(1) : n.toFixed(0)} ${"kMGTPE"[i]}B`;
}

/** pieceLength formats the length of pieces in binary units, since it is a power of two: "256 KiB". */
export const pieceLength = (n) => (n < 1024 ? `${n} B` : n < 1 << 20 ? `${+(n / 1024).toFixed(1)} KiB` : `${+(n / (1 << 20)).toFixed(1)} MiB`);

/** rate formats bytes a second. */
export const rate = (n) => `${size(n)}/s`;

/** percent formats a share from 0 to 1; it says 100 % only for the whole. */
export function percent(share) {
  if (share >= 1) return "100 %";
  return `${Math.min(99.9, Math.floor(share * 1000) / 10).toFixed(1)} %`;
}

/** span formats seconds: "8 s", "12 min", "3 h 5 min", "4 days". */
export function span(s) {
  s = Math.round(s);
  if (s < 100) return `${s} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  const h = Math.floor(s / 3600);
  if (h < 48) return `${h} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(h / 24)} days`;
}

const dates = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** date formats a time in RFC 3339. */
export const date = (text) => (text ? dates.format(new Date(text)) : "");

/** ago formats the time since a time in RFC 3339. */
export const ago = (text) => (text ? `${span(Math.max(0, (Date.now() - new Date(text)) / 1000))} ago` : "");

export const number = (n) => n.toLocaleString();

/** plural formats a count with its noun: "1 peer", "3 peers". */
export const plural = (n, noun, many = noun + "s") => `${number(n)} ${n === 1 ? noun : many}`;

// Characters that have no picture of their own or change the direction of others, so that a name could look like another.
const invisible = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** name returns a name that others have chosen as one line of visible text, with at most 300 characters. One of spaces alone is "(blank)". */
export function name(text) {
  const shown = text.length > 600 ? text.slice(0, 600) : text;
  const clean = shown.replace(invisible, "\ufffd");
  if (clean && !clean.trim()) return "(blank)";
  return clean.length > 300 ? clean.slice(0, 299) + "\u2026" : clean;
}

const arrows = { Up: "\u2191", Down: "\u2193", Left: "\u2190", Right: "\u2192" };

/** key formats the name of a key. */
export const key = (text) => text.replace(/Arrow(\w+)/, (_, to) => arrows[to]);
