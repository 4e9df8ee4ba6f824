// The filters beside the list; on narrow screens, behind a button of the toolbar.
import { html } from "../html.js";
import * as format from "../format.js";
import { offered } from "./filters.js";

const item = (f) => html`<li>
  <button type="button" class="filter" aria-pressed=${String(f.checked)} onClick=${f.run}><span>${f.title}</span><span class="number">${format.number(f.count)}</span></button>
</li>`;

export const Filters = ({ counts, filter }) => html`<aside class="filters" aria-label="Filters">
  ${offered(counts, filter).map(([title, list], i) => html`${i > 0 && html`<h2>${title}</h2>`}<ul>${list.map(item)}</ul>`)}
</aside>`;
