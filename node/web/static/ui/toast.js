// Messages that say what has happened and go away by themselves; errors stay until they are closed.
import { html } from "../html.js";
import { Observable, useObservable } from "../observable.js";
import { Icon } from "./icon.js";

const shown = new Observable([]);
const maxShown = 4;
const showFor = 5000;
let last = 0;

const close = (id) => shown.set(shown.value.filter((m) => m.id !== id));

/** toast shows a message. */
export function toast(text, { hint = "", isError = false } = {}) {
  const id = ++last;
  shown.set([...shown.value, { id, text, hint, isError }].slice(-maxShown));
  if (!isError) setTimeout(() => close(id), showFor);
}

/** toastError shows an error with its hint. */
export const toastError = (e) => toast(e.message, { hint: e.hint, isError: true });

export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">
    ${useObservable(shown).map(
      (m) => html`<div key=${m.id} class=${"toast" + (m.isError ? " toast-error" : "")}>
        <span>${m.text}${m.hint && html`<small>${m.hint}</small>`}</span>
        <button class="quiet" aria-label="Close the message" onClick=${() => close(m.id)}><${Icon} name="close" /></button>
      </div>`,
    )}
  </div>`;
}
