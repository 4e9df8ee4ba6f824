// The details of one torrent, shown below the list.
import { html, useState } from "../html.js";
import { href, navigate } from "../router.js";
import { Files } from "../torrent/files.js";
import { Head } from "../torrent/head.js";
import { Log } from "../torrent/log.js";
import { Overview } from "../torrent/overview.js";
import { Peers } from "../torrent/peers.js";
import { Pieces } from "../torrent/pieces.js";
import { Plots } from "../torrent/plots.js";
import { Tabs } from "../ui/tabs.js";

const tabs = [
  { id: "overview", title: "Overview", panel: Overview },
  { id: "files", title: "Files", panel: Files },
  { id: "peers", title: "Peers", panel: Peers },
  { id: "pieces", title: "Pieces", panel: Pieces },
  { id: "plots", title: "Plots", panel: Plots },
  { id: "log", title: "Log", panel: Log },
];

let wasTall = false; // for the next torrent

/** Torrent shows the details of torrent, on a tab; close goes back to the list. */
export default function Torrent({ torrent, tab, close }) {
  const [tall, setTall] = useState(wasTall);
  wasTall = tall;
  const shown = tabs.find((t) => t.id === tab) || tabs[0];
  // Going back leads to the list, not through the tabs.
  const select = (id) => navigate(href("torrents", torrent.infohash, id), true);
  return html`<div class=${tall ? "torrent torrent-tall" : "torrent"}>
    <${Head} torrent=${torrent} tall=${tall} setTall=${setTall} close=${close} />
    <${Tabs} tabs=${tabs} current=${shown.id} select=${select} label="Details"><${shown.panel} key=${shown.id} torrent=${torrent} /></${Tabs}>
  </div>`;
}
