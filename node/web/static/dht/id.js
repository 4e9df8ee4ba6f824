// Ids and how far apart they are.

/**
 * sharedBits returns how many leading bits two ids of 40 hex digits have in common, with a fraction that says how close they
 * are beyond these: it grows by 1 where the XOR distance halves. 160 for the same id.
 */
export function sharedBits(a, b) {
  for (let i = 0; i < 40; i += 4) {
    const x = parseInt(a.slice(i, i + 4), 16) ^ parseInt(b.slice(i, i + 4), 16);
    if (x === 0) continue;
    const next = i < 36 ? parseInt(a.slice(i + 4, i + 8), 16) ^ parseInt(b.slice(i + 4, i + 8), 16) : 0;
    return i * 4 + 16 - Math.log2(x + next / 0x10000);
  }
  return 160;
}

/** isIPv6 reports whether HOST:PORT is an address of IPv6. */
export const isIPv6 = (addr) => addr.startsWith("[");
