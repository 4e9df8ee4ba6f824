// Which rows of a long list are in view, so that only these are in the document.
import { useLayoutEffect, useRef, useState } from "../html.js";

const beyond = 6; // rows drawn above and below what is in view

/**
 * useWindow returns {frame, first, count, width, measure} for rows of equal height in px: frame is the ref of the element that
 * scrolls, measure its onScroll, and width its width in px. heightOf(width) returns the height of a row.
 */
export function useWindow(heightOf) {
  const frame = useRef();
  const [view, setView] = useState({ first: 0, count: 30, width: innerWidth });
  const measure = () => {
    const f = frame.current;
    if (!f) return;
    const width = f.clientWidth;
    const height = heightOf(width);
    const first = Math.max(0, Math.floor(f.scrollTop / height) - beyond);
    const count = Math.ceil(f.clientHeight / height) + 2 * beyond;
    setView((v) => (v.first === first && v.count === count && v.width === width ? v : { first, count, width }));
  };
  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(frame.current);
    return () => observer.disconnect();
  }, []);
  return { frame, measure, ...view };
}
