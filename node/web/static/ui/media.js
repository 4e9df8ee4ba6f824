// Media queries, for what is drawn and not styled.
import { useLayoutEffect, useState } from "../html.js";

/** useMedia returns whether a media query applies, and renders the component again when that changes. */
export function useMedia(query) {
  const [applies, setApplies] = useState(() => matchMedia(query).matches);
  useLayoutEffect(() => {
    const list = matchMedia(query);
    const update = () => setApplies(list.matches);
    update();
    list.addEventListener("change", update);
    return () => list.removeEventListener("change", update);
  }, [query]);
  return applies;
}

export const isDark = "(prefers-color-scheme: dark)";
export const isNarrow = "(max-width: 700px)"; // as in the style sheet
