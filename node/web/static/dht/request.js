// A request of a form: whether it runs, its answer, its error.
import { useState } from "../html.js";

/** useRequest returns {busy, answer, error, run}; run calls a function that makes the request. */
export function useRequest() {
  const [state, setState] = useState({});
  const run = async (request) => {
    setState({ busy: true });
    try {
      setState({ answer: await request() });
    } catch (error) {
      setState({ error });
    }
  };
  return { ...state, run };
}
