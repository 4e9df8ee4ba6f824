// Dialogs. openDialog shows a component; ask and confirm are dialogs that have an answer.
import { html, useLayoutEffect, useRef, useState } from "../html.js";
import { Observable, useObservable } from "../observable.js";
import { keepFocus } from "./focus.js";
import { ErrorText } from "./message.js";
import { Icon } from "./icon.js";
import { Toasts } from "./toast.js";

const open = new Observable([]);
let last = 0;

/** openDialog shows a component above the page with the property close. It returns the function that closes it. */
export function openDialog(component, props = {}) {
  const id = ++last;
  const close = () => open.set(open.value.filter((d) => d.id !== id));
  open.set([...open.value, { id, component, props: { ...props, close } }]);
  return close;
}

/** isDialogOpen reports whether a dialog has the keyboard. */
export const isDialogOpen = () => open.value.length > 0;

/** Dialogs shows the dialogs. Messages are in the dialog while one is open, since it covers the rest of the page. */
export function Dialogs() {
  const dialogs = useObservable(open);
  return dialogs.length ? dialogs.map((d) => html`<${d.component} key=${d.id} ...${d.props} />`) : html`<${Toasts} />`;
}

/** Dialog is the frame of a dialog. submit, which may be asynchronous, is called by the button and by Enter; then it closes. leave names the button that only closes it. */
export function Dialog({ title, close, submit, action = "OK", leave = submit ? "Cancel" : "Close", danger = false, ready = true, wide = false, children }) {
  const ref = useRef();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  useLayoutEffect(() => { // before the next key
    const dialog = ref.current;
    dialog.showModal();
    return () => {
      dialog.close(); // gives the focus back, which what is outside of an open dialog cannot take
      requestAnimationFrame(keepFocus);
    };
  }, []);
  // A dialog that has shown progress gets its answer, and with it what to do next.
  useLayoutEffect(() => ref.current.querySelector("[data-focus]")?.focus(), [!submit]);
  const onSubmit = async (e) => {
    e.preventDefault();
    if (busy || !ready) return;
    setBusy(true);
    setError(null);
    try {
      await submit();
      close();
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  const onCancel = (e) => {
    e.preventDefault();
    close();
  };
  return html`<dialog ref=${ref} class=${"dialog" + (wide ? " dialog-wide" : "")} aria-labelledby="dialog-title" onCancel=${onCancel} onClose=${close}>
    <form onSubmit=${onSubmit}>
      <header>
        <h2 id="dialog-title">${title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick=${close}><${Icon} name="close" /></button>
      </header>
      <div class="dialog-body" tabindex=${submit ? undefined : 0}>${children}</div>
      ${error && html`<${ErrorText} error=${error} />`}
      <footer>
        <button type="button" onClick=${close}>${leave}</button>
        ${submit && html`<button type="submit" class=${danger ? "danger" : "primary"} disabled=${busy || !ready}>${busy ? "Working…" : action}</button>`}
      </footer>
    </form>
    <${Toasts} />
  </dialog>`;
}

function Confirm({ close, title, text, action, danger, run, children }) {
  return html`<${Dialog} title=${title} close=${close} action=${action} danger=${danger} submit=${run}><p>${text}</p>${children}</${Dialog}>`;
}

/** confirm asks before run: {title, text, action, danger, run}. */
export const confirm = (props) => openDialog(Confirm, props);

function Ask({ close, title, label, value = "", help, action, run, list }) {
  const [text, setText] = useState(value);
  return html`<${Dialog} title=${title} close=${close} action=${action} ready=${text.trim() !== ""} submit=${() => run(text.trim())}>
    <label class="field"
      >${label}
      <input data-focus value=${text} onInput=${(e) => setText(e.target.value)} list=${list ? "ask-list" : undefined} spellcheck="false" autocomplete="off" />
      ${help && html`<small>${help}</small>`}
    </label>
    ${list && html`<datalist id="ask-list">${list.map((v) => html`<option value=${v} />`)}</datalist>`}
  </${Dialog}>`;
}

/** ask asks for a text: {title, label, value, help, action, list, run}. */
export const ask = (props) => openDialog(Ask, props);
