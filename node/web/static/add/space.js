// The free space of the folder that new torrents get, beside the size of what was selected.
import * as format from "../format.js";
import { html, useEffect, useState } from "../html.js";
import { useResource } from "../resource.js";

const every = 5000; // ms
const typing = 300; // ms without a key until a folder counts as typed

/** Space shows it. isPart says that more will be selected, whose size is not known yet. */
export function Space({ dir, category, size, isPart }) {
  const query = `dir=${encodeURIComponent(dir.trim())}&category=${encodeURIComponent(category.trim())}`;
  const [asked, setAsked] = useState(query);
  useEffect(() => {
    const timer = setTimeout(() => setAsked(query), typing);
    return () => clearTimeout(timer);
  }, [query]);
  const { data, error } = useResource(`v1/space?${asked}`, every);
  if (error) return html`<p class="warn" role="status">${error.message}</p>`;
  const needed = size > 0 && `${isPart ? "at least " : ""}${format.size(size)} selected`;
  if (!data) return html`<p class="muted" role="status">${needed || " "}</p>`;
  const where = html`${format.size(data.free)} free in <span class="path">${format.name(data.dir)}</span>`;
  if (size > data.free) return html`<p class="warn" role="status">This does not fit: ${needed}, ${where}.</p>`;
  return html`<p class="muted" role="status">${needed && needed + ", "}${where}.</p>`;
}
