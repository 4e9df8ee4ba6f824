// Tabs, with the keys of the ARIA pattern.
import { html, useRef } from "../html.js";

/** Tabs shows a row of tabs, {id, title}; select is called with the id of the chosen one. The panel is the children. */
export function Tabs({ tabs, current, select, label, children }) {
  const ref = useRef();
  const onKeyDown = (e) => {
    const at = tabs.findIndex((t) => t.id === current);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    const next = (to + tabs.length) % tabs.length;
    select(tabs[next].id);
    ref.current.children[next].focus();
  };
  return html`<div class="tabs">
    <div ref=${ref} class="tab-list" role="tablist" aria-label=${label} onKeyDown=${onKeyDown}>
      ${tabs.map(
        (t) => html`<button type="button" role="tab" id=${"tab-" + t.id} aria-selected=${String(t.id === current)} aria-controls="tab-panel"
          tabindex=${t.id === current ? 0 : -1} data-text=${t.title} onClick=${() => select(t.id)}>${t.title}</button>`,
      )}
    </div>
    <div class="tab-panel" role="tabpanel" id="tab-panel" aria-labelledby=${"tab-" + current} tabindex="0">${children}</div>
  </div>`;
}
