// What can be done with a file of a torrent, or with a folder in it.
import { post } from "../api.js";
import * as format from "../format.js";
import { html, useEffect, useState } from "../html.js";
import { may } from "../session.js";
import { path } from "../torrents/requests.js";
import { CopyButton, copy } from "../ui/copy.js";
import { Dialog, ask, openDialog } from "../ui/dialog.js";
import { ErrorText } from "../ui/message.js";
import { toast, toastError } from "../ui/toast.js";

const video = /\.(mp4|m4v|webm|mkv|mov|ogv|avi|mpe?g|ts|m2ts|wmv)$/i;
const audio = /\.(mp3|m4a|m4b|aac|flac|oga|ogg|opus|wav|wma)$/i;

/** isPlayable reports whether a file is wanted and, by its name, video or audio. */
export const isPlayable = (file) => file.selected && file.size > 0 && (video.test(file.path) || audio.test(file.path));

const content = (t, file) => `${path(t)}/files/${file.number}`;
const here = (relative) => new URL(relative.replace(/^\//, ""), document.baseURI).href;

const makeLink = async (t, file) => here((await post(`${content(t, file)}/link`)).path);

/** play shows a file in the browser, also while it downloads. */
export const play = (torrent, file) => openDialog(Player, { torrent, file });

function Player({ close, torrent, file }) {
  const [link, setLink] = useState("");
  const [error, setError] = useState(null);
  useEffect(() => {
    makeLink(torrent, file).then(setLink, setError);
  }, []);
  const failed = () => setError({ message: "The browser cannot play this file, or has lost the connection to the daemon.", hint: "Copy the link and open it in a player, such as mpv or VLC." });
  const name = format.name(file.path.slice(file.path.lastIndexOf("/") + 1));
  const media = { src: link, controls: true, autoplay: true, onError: failed, "aria-label": name };
  return html`<${Dialog} title=${name} close=${close} wide>
    ${error && html`<${ErrorText} error=${error} />`}
    ${link ? (audio.test(file.path) ? html`<audio class="player" ...${media} />` : html`<video class="player" ...${media} />`) : !error && html`<p role="status">Making a link to the file…</p>`}
    ${link && html`<p class="buttons"><${CopyButton} text=${link} what="the link" title="Copy the link for a player" /> <span class="muted">Whoever has it can read this file for 12 hours.</span></p>`}
  </${Dialog}>`;
}

function download(t, file) {
  const a = document.createElement("a");
  a.href = here(`${content(t, file)}/content?download=true`);
  a.download = "";
  a.click();
}

async function copyLink(t, file) {
  try {
    await copy(await makeLink(t, file));
    toast("The link is in the clipboard. Whoever has it can read this file for 12 hours.");
  } catch (e) {
    toastError(e);
  }
}

function rename(t, row, done) {
  ask({
    title: `Rename ${format.name(row.name)}`,
    label: "New path in the torrent",
    value: row.path,
    help: "With another folder in it, the file moves there.",
    action: "Rename",
    run: async (name) => {
      await post(`${path(t)}/rename?wait=10`, { path: row.path, name });
      done();
    },
  });
}

/** fileMenu returns the items of the menu of a row of the tree. done is called after a change. */
export function fileMenu(t, row, done) {
  const { file } = row;
  const readable = file?.selected && file.size > 0;
  return [
    file && { title: "Play in the browser", disabled: !isPlayable(file), run: () => play(t, file) },
    file && { title: "Download to this device", disabled: !readable, run: () => download(t, file) },
    file && { title: "Copy the link for a player", disabled: !readable, run: () => copyLink(t, file) },
    { title: "Rename…", disabled: !may("admin"), run: () => rename(t, row, done) },
  ].filter(Boolean);
}
