// What lies above the views: dialogs, menus and messages. The shell renders it once.
import { html } from "../html.js";
import { Dialogs } from "./dialog.js";
import { MenuHost } from "./menu.js";

export const Host = () => html`<${Dialogs} /><${MenuHost} />`;
