// How often a publication is checked for new versions.
import { html } from "../html.js";

const choices = [[60, "every minute"], [600, "every 10 minutes"], [3600, "every hour"], [86400, "every day"]];

/** usualInterval is that of the daemon, in seconds. */
export const usualInterval = "600";

/** Interval is a field for the interval in seconds, a text. */
export const Interval = ({ value, set }) => html`<label class="field">Check for new versions
  <select value=${value} onChange=${(e) => set(e.target.value)}>${choices.map(([s, title]) => html`<option value=${s}>${title}</option>`)}</select>
</label>`;
