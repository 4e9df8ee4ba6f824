// A playlist of the video and audio files of a torrent, for a player.
import { post } from "../api.js";
import * as format from "../format.js";
import { html, useEffect, useState } from "../html.js";
import { path } from "../torrents/requests.js";
import { CopyButton } from "../ui/copy.js";
import { Dialog, openDialog } from "../ui/dialog.js";
import { ErrorText } from "../ui/message.js";

export const askPlaylist = (torrent) => openDialog(Playlist, { torrent });

function Playlist({ close, torrent }) {
  const [link, setLink] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    post(`${path(torrent)}/link`).then((l) => setLink({ ...l, url: new URL(l.path.replace(/^\//, ""), document.baseURI).href }), setError);
  }, []);
  return html`<${Dialog} title=${`Play ${format.name(torrent.name)}`} close=${close}>
    <p>A player such as mpv or VLC plays the selected video and audio files from this link, also while they download.</p>
    ${error && html`<${ErrorText} error=${error} />`}
    ${link &&
    html`<label class="field">Link to the playlist<input readonly value=${link.url} data-focus onFocus=${(e) => e.target.select()} /></label>
      <p class="muted">Whoever has it can read all files of the torrent until ${format.date(link.expires)}.</p>
      <p class="buttons"><${CopyButton} text=${link.url} what="the link" /> <a href=${link.url} download="playlist.m3u8">Download the playlist</a></p>`}
  </${Dialog}>`;
}
