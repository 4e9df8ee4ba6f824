// What one view reads from the daemon, kept up to date while the view is shown.
import { get } from "./api.js";
import { useEffect, useRef, useState } from "./html.js";

const longest = 30000; // ms; what is read again and again must not wait for an answer that never comes

/**
 * useResource reads path, and again every so many ms (0: only once). It returns {data, error, reload}: error is of the last
 * reading, and data that was read before stays. reload reads now; it returns a promise. Without a path it reads nothing.
 */
export function useResource(path, every = 0) {
  const [state, setState] = useState({ data: null, error: null });
  const reload = useRef(async () => {});
  useEffect(() => {
    setState((s) => (s.data || s.error ? { data: null, error: null } : s));
    if (!path) return;
    const stop = new AbortController();
    let timer = 0;
    const read = async () => {
      clearTimeout(timer);
      try {
        const data = await get(path, { signal: stop.signal, within: every && longest });
        setState({ data, error: null });
      } catch (error) {
        if (stop.signal.aborted) return;
        setState((s) => ({ data: s.data, error }));
      }
      if (every && !stop.signal.aborted) timer = setTimeout(next, every);
    };
    // A hidden page reads nothing.
    const next = () => (document.hidden ? (timer = setTimeout(next, every)) : read());
    reload.current = read;
    read();
    return () => {
      stop.abort();
      clearTimeout(timer);
      reload.current = async () => {};
    };
  }, [path, every]);
  return { ...state, reload: () => reload.current() };
}
