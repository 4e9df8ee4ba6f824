// Icons: strokes of 16 by 16 units in the colour of the text. They decorate; the words say what they mean.
import { html } from "../html.js";

const paths = {
  torrents: "M2 4h12M2 8h12M2 12h8",
  publications: "M8 14V7M8 7a3 3 0 1 0 0-.01M3.5 11.5a6 6 0 0 1 0-9M12.5 2.5a6 6 0 0 1 0 9",
  follows: "M3 13a10 10 0 0 0-10-10M3 3a10 10 0 0 1 10 10M3 7.5A5.5 5.5 0 0 1 8.5 13M3.5 12.5h.01",
  pins: "M6 2h4v5l2.5 3h-9L6 7zM8 10v4.5",
  dht: "M8 3.5v9M3.5 8h9M4.5 4.5l7 7M11.5 4.5l-7 7M8 8h.01",
  doctor: "M1.5 8.5h3l2-5 3 9 2-4h3",
  settings: "M2 5h7M13 5h1M11 3v4M2 11h1M7 11h7M5 9v4",
  tokens: "M10.5 5.5h.01M6.8 7.8 2 12.6V14h2.5v-1.5H6V11l2.2-1.8A3.8 3.8 0 1 0 6.8 7.8",
  add: "M8 3v10M3 8h10",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  resume: "M5 3l8 5-8 5z",
  remove: "M3 4.5h10M6.5 4V2.5h3V4M4.5 4.5l.6 9h5.8l.6-9",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.7 10.7 14 14",
  filter: "M2 3.5h12L9.5 9v4.5l-3-1.5V9z",
  columns: "M2.5 3h11v10h-11zM6.5 3v10M10 3v10",
  more: "M8 3.5h.01M8 8h.01M8 12.5h.01",
  close: "M4 4l8 8M12 4l-8 8",
  down: "M8 3v9M4.5 8.5 8 12l3.5-3.5",
  up: "M8 13V4M4.5 7.5 8 4l3.5 3.5",
  keys: "M1.5 4.5h13v7h-13zM4 7h.01M6.5 7h.01M9 7h.01M11.5 7h.01M5 9.5h6",
  start: "M3 3.5v9M6 3l8 5-8 5z",
  recheck: "M13 8a5 5 0 1 1-1.5-3.5M13 2.5v3h-3M6 8l1.5 1.5L10.5 6.5",
  move: "M2 12.5v-9h4l1.5 2H14v7zM6 9h4M8.5 7 10.5 9l-2 2",
  rename: "M3 13l.7-3L11 2.8 13.2 5 6 12.3zM9.5 4.3l2.2 2.2",
  playlist: "M2 4h8M2 8h5M2 12h5M10 7.5v5l4-2.5z",
  open: "M4 6l4 4 4-4",
  closed: "M6 4l4 4-4 4",
  tall: "M8 2v12M5 5l3-3 3 3M5 11l3 3 3-3",
  logout: "M6.5 2.5h-4v11h4M10 5l3 3-3 3M13 8H6",
};

export const Icon = ({ name }) =>
  html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d=${paths[name]} /></svg>`;
