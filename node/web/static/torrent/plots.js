// Plots of the rates and peers of a torrent over time.
import * as format from "../format.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../html.js";
import { ErrorText, Loading } from "../ui/message.js";
import { isDark, useMedia } from "../ui/media.js";
import { samplesOf } from "./samples.js";

const every = 1000; // ms
const height = 190; // px
const spanAtLeast = 60; // s on the axis, so that the first samples are no wall

const charts = [
  { title: "Rates", format: format.rate, least: 1000, lines: [["Receiving", "down", "--chart-1"], ["Sending", "up", "--chart-2"]] },
  { title: "Peers", format: (n) => format.number(Math.round(n)), least: 4, lines: [["Connected", "peers", "--chart-1"], ["Seeds among them", "seeds", "--chart-2"]] },
];

export function Plots({ torrent }) {
  const [plot, setPlot] = useState(null);
  const [error, setError] = useState(null);
  const [, tick] = useState(0);
  useEffect(() => {
    import("../lib/uplot.js").then((m) => setPlot({ make: m.default }), () => setError({ message: "The plots could not be loaded.", hint: "Load the page again: the daemon may have another version now." }));
    const timer = setInterval(() => document.hidden || tick((n) => n + 1), every);
    return () => clearInterval(timer);
  }, []);
  if (error) return html`<${ErrorText} error=${error} />`;
  if (!plot) return html`<${Loading} what="the plots" />`;
  const samples = samplesOf(torrent);
  return html`<div class="plots">
    ${charts.map((c) => html`<${Chart} key=${c.title} chart=${c} samples=${samples} make=${plot.make} />`)}
    <p class="muted plots-note">Since this page was opened, for an hour at most.</p>
  </div>`;
}

/** Chart is one plot. Its caption has the numbers in words. */
function Chart({ chart, samples, make: UPlot }) {
  const frame = useRef();
  const plot = useRef(null);
  const dark = useMedia(isDark);
  const data = [samples.time, ...chart.lines.map(([, name]) => samples[name])];
  useLayoutEffect(() => {
    const p = new UPlot(optionsOf(chart, frame.current, UPlot), data, frame.current);
    plot.current = p;
    const observer = new ResizeObserver(() => p.setSize({ width: frame.current.clientWidth, height }));
    observer.observe(frame.current);
    return () => {
      observer.disconnect();
      p.destroy();
    };
  }, [dark]);
  useLayoutEffect(() => plot.current.setData(data), [samples]);
  const now = (name) => samples[name].at(-1);
  const most = (name) => samples[name].reduce((a, n) => Math.max(a, n), 0);
  return html`<figure class="chart">
    <figcaption>
      <h3>${chart.title}</h3>
      ${chart.lines.map(([title, name, colour]) => html`<span class="plot-key"><span class=${"plot-colour plot" + colour} aria-hidden="true"></span>${title} <b>${chart.format(now(name))}</b> <span class="muted">at most ${chart.format(most(name))}</span></span>`)}
    </figcaption>
    <div ref=${frame} class="plot-frame" aria-hidden="true"></div>
  </figure>`;
}

function optionsOf(chart, element, UPlot) {
  const style = getComputedStyle(element);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
  return {
    width: element.clientWidth,
    height,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: true, range: (_, min, max) => [Math.min(min, max - spanAtLeast), max] },
      y: { range: (_, min, max) => [0, Math.max(chart.least, max * 1.1)] },
    },
    axes: [
      { ...axis, values: (_, times) => times.map((t) => new Date(t * 1000).toLocaleTimeString([], { timeStyle: "medium" })), space: 90 },
      { ...axis, size: 76, values: (_, numbers) => numbers.map((n) => (chart.title === "Peers" && n % 1 ? "" : chart.format(n))) },
    ],
    series: [{}, ...chart.lines.map(([title, , name]) => ({ label: title, stroke: colour(name), width: 1.5, points: { show: false }, paths: UPlot.paths.stepped({ align: 1 }) }))],
  };
}
