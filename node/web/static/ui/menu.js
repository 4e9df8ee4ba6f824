// Menus: of a right click, or below a button.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../html.js";
import * as format from "../format.js";
import { Observable, useObservable } from "../observable.js";
import { keepFocus } from "./focus.js";

const current = new Observable(null);

/**
 * openMenu shows a menu at a place. An item is {title, run, key, disabled, danger, checked}, a text for a heading, or null for
 * a line; key is the shortcut to show. When an item with checked is chosen, the menu stays open; items is then a function that returns them anew.
 */
export function openMenu(x, y, items, label) {
  current.set({ x, y, items, label, before: document.activeElement });
}

/** openMenuBelow shows a menu below an element. */
export function openMenuBelow(element, items, label) {
  const r = element.getBoundingClientRect();
  openMenu(r.left, r.bottom + 2, items, label);
}

export const closeMenu = () => {
  const menu = current.value;
  current.set(null);
  menu?.before?.focus();
};

export const isMenuOpen = () => current.value !== null;

export function MenuHost() {
  const menu = useObservable(current);
  useEffect(keepFocus, [menu]);
  return menu && html`<${Menu} key=${menu} ...${menu} />`;
}

function Menu({ x, y, items, label }) {
  const ref = useRef();
  const [, chosen] = useState(0);
  const shown = typeof items === "function" ? items() : items;
  useLayoutEffect(() => {
    const m = ref.current;
    const { width, height } = m.getBoundingClientRect();
    m.style.left = Math.max(4, Math.min(x, innerWidth - width - 4)) + "px";
    m.style.top = Math.max(4, Math.min(y, innerHeight - height - 4)) + "px";
    m.querySelector("button:not(:disabled)")?.focus();
  }, []);
  useEffect(() => {
    const away = (e) => ref.current?.contains(e.target) || closeMenu();
    addEventListener("pointerdown", away, true);
    addEventListener("blur", closeMenu);
    addEventListener("resize", closeMenu);
    return () => {
      removeEventListener("pointerdown", away, true);
      removeEventListener("blur", closeMenu);
      removeEventListener("resize", closeMenu);
    };
  }, []);
  const onKeyDown = (e) => {
    const all = [...ref.current.querySelectorAll("button:not(:disabled)")];
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: (at + 1) % all.length, ArrowUp: (at - 1 + all.length) % all.length, Home: 0, End: all.length - 1 }[e.key];
    if (to !== undefined) all[to]?.focus();
    else if (e.key === "Escape" || e.key === "Tab") closeMenu();
    else return;
    e.preventDefault();
    e.stopPropagation();
  };
  const choose = (item) => {
    if (item.checked === undefined) closeMenu();
    item.run();
    chosen((n) => n + 1);
  };
  return html`<div ref=${ref} class="menu" role="menu" aria-label=${label} onKeyDown=${onKeyDown} onContextMenu=${(e) => e.preventDefault()}>
    ${shown.map((item) =>
      item === null
        ? html`<hr />`
        : typeof item === "string"
        ? html`<h3 role="presentation">${item}</h3>`
        : html`<button type="button" role=${item.checked === undefined ? "menuitem" : "menuitemcheckbox"} aria-checked=${item.checked === undefined ? undefined : String(item.checked)}
            tabindex="-1" disabled=${item.disabled} class=${item.danger ? "danger-text" : ""} onClick=${() => choose(item)}>
            <span>${item.title}</span>${item.key && html`<kbd>${format.key(item.key)}</kbd>`}
          </button>`,
    )}
  </div>`;
}
