// Errors and empty states: what happened, and what to do.
import { html } from "../html.js";

export const ErrorText = ({ error }) => html`<div class="error" role="alert">
  <strong>${error.message}</strong>
  ${error.hint && html`<span>${error.hint}</span>`}
</div>`;

/** Empty says why there is nothing, with what to do as its children. */
export const Empty = ({ title, children }) => html`<div class="empty"><h2>${title}</h2>${children}</div>`;

/** Loading says what is being loaded. */
export const Loading = ({ what }) => html`<div class="empty" role="status"><p>Loading ${what}…</p></div>`;
