// The keys of the page. Views add theirs while they are shown; ? lists all.
import * as format from "./format.js";
import { html, useEffect } from "./html.js";
import { Dialog, isDialogOpen, openDialog } from "./ui/dialog.js";
import { focusView } from "./ui/focus.js";
import { isMenuOpen } from "./ui/menu.js";

const groups = []; // {title, keys: [{keys, title, run}]}

/** addKeys adds keys and returns the function that removes them. A key is {keys: ["a"], title, run}; without run it is only listed. */
export function addKeys(title, keys) {
  const group = { title, keys };
  groups.push(group);
  return () => groups.splice(groups.indexOf(group), 1);
}

/** useKeys adds keys while a component is shown. */
export function useKeys(title, keys, inputs = []) {
  useEffect(() => addKeys(title, keys), inputs);
}

/** keyOf returns the name of a key that was pressed: "a", "Ctrl+A", "Delete". Shift counts only with keys that have a name. */
export function keyOf(e) {
  const named = e.key.length > 1;
  const ctrl = e.ctrlKey || e.metaKey ? "Ctrl+" : "";
  return ctrl + (e.altKey ? "Alt+" : "") + (named && e.shiftKey ? "Shift+" : "") + (e.key === " " ? "Space" : ctrl && !named ? e.key.toUpperCase() : e.key);
}

const scrolling = /^(Arrow|Page)(Up|Down)$|^(Home|End|Space)$/;
const isText = (element) => element.matches?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");

addEventListener("keydown", (e) => {
  if (e.defaultPrevented || isDialogOpen() || isMenuOpen()) return;
  const key = keyOf(e);
  if (isText(e.target)) {
    if (key === "Escape") focusView();
    return;
  }
  // Enter and Space on a button, a link or a checkbox are its own, and what scrolls has the keys that scroll.
  if ((key === "Enter" || key === "Space") && e.target.closest?.("button, a, summary, input")) return;
  if (scrolling.test(key) && e.target.closest?.("[tabindex='0']:not([role=grid])")) return;
  for (const group of [...groups].reverse()) {
    for (const k of group.keys) {
      if (k.run && k.keys.includes(key)) {
        e.preventDefault();
        k.run(e);
        return;
      }
    }
  }
});

function Keys({ close }) {
  return html`<${Dialog} title="Keys" close=${close}>
    <div class="keys">
      ${groups.map(
        (g) => html`<section>
          <h3>${g.title}</h3>
          <dl>${g.keys.map((k) => html`<div><dt>${k.keys.map((x, i) => [i > 0 && " or ", html`<kbd>${format.key(x)}</kbd>`])}</dt><dd>${k.title}</dd></div>`)}</dl>
        </section>`,
      )}
    </div>
  </${Dialog}>`;
}

/** showKeys lists the keys. */
export const showKeys = () => openDialog(Keys);
