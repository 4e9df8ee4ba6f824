// A value that components and other modules can watch.
import { useLayoutEffect, useState } from "./html.js";

export class Observable {
  #listeners = new Set();

  constructor(value) {
    this.value = value;
  }

  set(value) {
    if (value === this.value) return;
    this.value = value;
    this.notify();
  }

  /** notify calls the listeners; for a value that was changed in place. */
  notify() {
    for (const f of [...this.#listeners]) f(this.value);
  }

  /** subscribe calls f at each change until the function that it returns is called. */
  subscribe(f) {
    this.#listeners.add(f);
    return () => this.#listeners.delete(f);
  }
}

/** useObservable returns the value of an observable and renders the component again when it changes. */
export function useObservable(o) {
  const [, render] = useState(0);
  useLayoutEffect(() => {
    const seen = o.value;
    const stop = o.subscribe(() => render((n) => n + 1));
    if (o.value !== seen) render((n) => n + 1);
    return stop;
  }, [o]);
  return o.value;
}
