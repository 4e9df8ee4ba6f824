// Actions that the scope of the session may not allow. They stay visible, and say what is needed.
import { html } from "../html.js";
import { may } from "../session.js";
import { toast } from "./toast.js";

const hint = (scope) => `Log in with a token of the scope ${scope === "add" ? "add or admin" : scope}.`;

/** Guarded is a button for an action that needs a scope. Without the scope, it says so in place of the action. */
export function Guarded({ scope, children, onClick, disabled, ...rest }) {
  if (may(scope)) return html`<button type="button" disabled=${disabled} onClick=${onClick} ...${rest}>${children}</button>`;
  return html`<button type="button" ...${rest} class="not-allowed" aria-disabled="true" title=${`This session may not do that. ${hint(scope)}`}
    onClick=${() => toast("This session may not do that.", { hint: hint(scope) })}>${children}</button>`;
}

/** ScopeNote says above a view which actions need another scope; nothing if the session has it. */
export const ScopeNote = ({ scope, actions }) => !may(scope) && html`<p class="note">This session may not ${actions}. ${hint(scope)}</p>`;
