// Copying to the clipboard.
import { html, useEffect, useState } from "../html.js";
import { toastError } from "./toast.js";

/** copy puts a text into the clipboard, or throws an error that says what to do. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyOld(text); // the clipboard needs HTTPS or localhost
  }
}

function copyOld(text) {
  // What is outside of an open dialog cannot be selected.
  const parent = [...document.querySelectorAll("dialog[open]")].pop() || document.body;
  const before = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden";
  parent.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  before?.focus();
  if (!isCopied) throw new Error("The browser does not allow copying. Select the text and copy it yourself.");
}

const saidFor = 2000;

/** CopyButton copies a text and says so in its place. what says which text it is, to screen readers. */
export function CopyButton({ text, what, title = "Copy" }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), saidFor);
    return () => clearTimeout(timer);
  }, [copied]);
  return html`<button type="button" class="copy" onClick=${() => copy(text).then(() => setCopied(true), toastError)}>
    <span aria-live="polite">${copied ? "Copied" : title}</span>${title === "Copy" && html`<span class="hidden"> ${what}</span>`}
  </button>`;
}
