// A table of some hundred rows that can be sorted. The list of torrents has its own, which draws only what is visible.
import { classes, html, useState } from "../html.js";

/**
 * Table shows rows. A column is {id, title, cell(row), value(row) to sort by, align: "end", wide: true if
 * a narrow page leaves it out, width}; rowKey(row) identifies a row. If the columns have widths, in px, they do not
 * change with their content.
 */
export function Table({ columns, rows, rowKey, label, order, empty, onRow }) {
  const [sort, setSort] = useState(order || null);
  const column = sort && columns.find((c) => c.id === sort.id);
  const sorted = column ? [...rows].sort((a, b) => compare(column.value(a), column.value(b)) * (sort.down ? -1 : 1)) : rows;
  if (rows.length === 0 && empty) return empty;
  const width = columns.reduce((sum, c) => sum + (c.width || 0), 0);
  return html`<div class="table-frame" tabindex="0" role="region" aria-label=${label}>
    <table class=${width > 0 ? "table-fixed" : ""} style=${width > 0 ? { minWidth: `${width}px` } : undefined}>
      ${width > 0 && html`<colgroup>${columns.map((c) => html`<col style=${{ width: `${c.width}px` }} />`)}</colgroup>`}
      <thead>
        <tr>
          ${columns.map((c) => {
            const is = sort?.id === c.id;
            return html`<th class=${cellClass(c)} aria-sort=${is ? (sort.down ? "descending" : "ascending") : undefined}>
              ${c.value ? html`<button type="button" class="sort" onClick=${() => setSort({ id: c.id, down: is ? !sort.down : false })}>${c.title}</button>` : c.title}
            </th>`;
          })}
        </tr>
      </thead>
      <tbody>
        ${sorted.map((row) => html`<tr key=${rowKey(row)} onClick=${onRow && (() => onRow(row))}>${columns.map((c) => html`<td class=${cellClass(c)}>${c.cell(row)}</td>`)}</tr>`)}
      </tbody>
    </table>
  </div>`;
}

const cellClass = (c) => classes(c.align, c.wide && "wide-only");

/** compare orders numbers and texts. */
export function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
