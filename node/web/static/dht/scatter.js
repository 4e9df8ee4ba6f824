// A plot of points. It is SVG: the styles of the page give its colours, light and dark.
import { html, useLayoutEffect, useRef, useState } from "../html.js";

const height = 260;
const margin = { left: 64, right: 14, top: 12, bottom: 42 };

/** linear and log are scales: functions that return a share from 0 to 1 of a value up to max. */
export const linear = (max) => (v) => v / max;
export const log = (max) => (v) => Math.log10(1 + v) / Math.log10(1 + max);

/**
 * Scatter shows points {key, x, y, kind, square, title}; kind is a class. An axis is {scale, marks: [{at, text}]}; that of x has
 * texts for its ends too, {low, high}. label says in words what is seen, and legend is [{kind, square, text}].
 */
export function Scatter({ points, x, y, label, legend }) {
  const ref = useRef();
  const [width, setWidth] = useState(600);
  useLayoutEffect(() => {
    const o = new ResizeObserver(([e]) => setWidth(Math.max(240, Math.floor(e.contentRect.width))));
    o.observe(ref.current);
    return () => o.disconnect();
  }, []);
  const atX = (v) => margin.left + x.scale(v) * (width - margin.left - margin.right);
  const atY = (v) => height - margin.bottom - y.scale(v) * (height - margin.top - margin.bottom);
  return html`<figure class="dht-plot" ref=${ref}>
    <svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${label}>
      ${y.marks.map((m) => html`<g><line class="grid" x1=${margin.left} x2=${width - margin.right} y1=${atY(m.at)} y2=${atY(m.at)} /><text x=${margin.left - 8} y=${atY(m.at) + 4} text-anchor="end">${m.text}</text></g>`)}
      ${x.marks.map((m) => html`<g><line class="grid" x1=${atX(m.at)} x2=${atX(m.at)} y1=${margin.top} y2=${height - margin.bottom} /><text x=${atX(m.at)} y=${height - margin.bottom + 16} text-anchor="middle">${m.text}</text></g>`)}
      <text x=${margin.left} y=${height - 5}>${x.low}</text>
      <text x=${width - margin.right} y=${height - 5} text-anchor="end">${x.high}</text>
      ${points.map((p) => html`<${Point} key=${p.key} square=${p.square} kind=${p.kind} x=${atX(p.x)} y=${atY(p.y)} title=${p.title} />`)}
    </svg>
    <figcaption>${legend.map((l) => html`<span><svg width="12" height="12" aria-hidden="true"><${Point} square=${l.square} kind=${l.kind} x=${6} y=${6} /></svg> ${l.text}</span>`)}</figcaption>
  </figure>`;
}

function Point({ square, kind, x, y, title }) {
  const c = "point point-" + kind;
  const what = title && html`<title>${title}</title>`;
  return square ? html`<rect class=${c} x=${x - 4} y=${y - 4} width="8" height="8">${what}</rect>` : html`<circle class=${c} cx=${x} cy=${y} r="4">${what}</circle>`;
}

/** steps returns marks from 0 to max, about count of them, at round numbers. */
export function steps(max, count, text = String) {
  const raw = max / count;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((s) => s * unit).find((s) => s >= raw);
  return Array.from({ length: Math.floor(max / step + 1e-9) + 1 }, (_, i) => ({ at: i * step, text: text(i * step) }));
}
