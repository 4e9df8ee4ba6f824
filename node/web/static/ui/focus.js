// Where the keyboard is when the element that had the focus is gone.

let last = null; // the element that had the focus last
addEventListener("focusin", (e) => (last = e.target));

const isShown = (element) => element?.getClientRects().length > 0;

/** keepFocus moves the focus to the list, to the details or to the view if what had it is gone, hidden or disabled. */
export function keepFocus() {
  const now = document.activeElement; // also for a while after it was hidden
  const had = now === document.body ? last : now;
  if (had && (had.disabled || !isShown(had))) focusView();
}

/** focusView moves the focus out of what has it. */
export function focusView() {
  [".list", ".details", "main"].map((s) => document.querySelector(s)).find(isShown)?.focus();
}
