// The field of one setting: its value, what it means, and what the daemon says about the new value.
import { html } from "../html.js";
import { number } from "../format.js";
import { title } from "./groups.js";

const changedHere = "changed while running"; // the source of a value that a client has set
const maxShort = 240; // characters of a description that is shown as a whole

/** Field shows a setting. value is the present one or the draft; set takes a new one, or null to undo the change of a client. */
export function Field({ setting: s, value, isChanged, error, set }) {
  const id = "setting-" + s.setting;
  const described = `${id}-help` + (error ? ` ${id}-error` : "");
  const isLong = s.manual?.length > maxShort;
  const common = { id, "aria-describedby": described, "aria-invalid": error ? "true" : undefined };
  return html`<div class=${"setting" + (isChanged ? " changed" : "")}>
    <div class="setting-head">
      <label for=${id}>${title(s.setting)}</label>
      ${isChanged && html`<span class="badge">not saved</span>`}
      ${s.source === changedHere && value !== null && html`<button type="button" class="quiet small" onClick=${() => set(null)} aria-label=${`Undo the change of ${title(s.setting)}`}>Undo the change</button>`}
    </div>
    ${value === null ? html`<p ...${common} tabindex="-1" class="undone">Goes back to what the command line, the environment or the settings file says, or to the default.</p>` : html`<${Input} setting=${s} value=${value} set=${set} common=${common} />`}
    ${error && html`<p class="field-error" id=${id + "-error"} role="alert">${error}</p>`}
    <p class="help" id=${id + "-help"}><${Marked} text=${sentence(isLong ? s.help : s.manual || s.help)} /> ${facts(s)}</p>
    ${isLong && html`<details class="help"><summary>More</summary><p><${Marked} text=${sentence(s.manual)} /></p></details>`}
  </div>`;
}

function Input({ setting: s, value, set, common }) {
  const text = { ...common, value, spellcheck: false, autocomplete: "off", onInput: (e) => set(e.target.value) };
  if (s.read_only) {
    const lines = s.type === "list" ? value : s.type === "bool" ? [value === "true" ? "on" : "off"] : [value].filter(Boolean);
    return html`<p ...${common} class="fixed mono">${lines.length ? lines.map((l) => html`<span>${l}</span>`) : "none"}</p>`;
  }
  switch (s.type) {
    case "bool":
      return html`<label class="check"><input type="checkbox" ...${common} checked=${value === "true"} onChange=${(e) => set(String(e.target.checked))} /> On</label>`;
    case "word":
      return html`<select ...${common} value=${value} onChange=${(e) => set(e.target.value)}>${s.choices.map((c) => html`<option value=${c}>${c}</option>`)}</select>`;
    case "list":
      return s.choices ? html`<${Choices} setting=${s} value=${value} set=${set} common=${common} />` : html`<${Lines} value=${value} set=${set} common=${common} />`;
    case "number":
      return html`<span class="unit-field"><input type="number" ...${text} min=${s.minimum} max=${s.maximum} step="1" />${s.unit}</span>`;
    case "size":
    case "duration":
    case "ratio":
      return html`<span class="unit-field"><input ...${text} />${s.unit || ""}</span>`;
  }
  return html`<input ...${text} />`;
}

const none = "off"; // the value of a list with choices that says that it has none

function Choices({ setting: s, value, set, common }) {
  const choices = s.choices.filter((c) => c !== none);
  const change = (c, on) => {
    const next = choices.filter((x) => (x === c ? on : value.includes(x)));
    set(next.length === 0 && s.choices.includes(none) ? [none] : next);
  };
  return html`<div ...${common} role="group" aria-label=${title(s.setting)}>
    ${choices.map((c) => html`<label class="check"><input type="checkbox" checked=${value.includes(c)} onChange=${(e) => change(c, e.target.checked)} /> ${c}</label>`)}
  </div>`;
}

function Lines({ value, set, common }) {
  const lines = (text) => text.split("\n").map((l) => l.trim());
  // The last line may be empty while someone types.
  return html`<textarea ...${common} rows=${Math.min(6, Math.max(2, value.length + 1))} spellcheck="false" value=${value.join("\n")} onInput=${(e) => set(e.target.value === "" ? [] : lines(e.target.value))}></textarea>`;
}

const examples = { size: "Such as 500k or 2M.", duration: "Such as 30m or 24h.", list: "One per line." };

/** facts returns the limits and the default of a setting in words. */
function facts(s) {
  const all = [];
  if (s.type === "list" ? !s.choices && !s.read_only : !s.read_only && examples[s.type]) all.push(examples[s.type]);
  if (s.type === "number" && s.maximum !== undefined) all.push(`From ${number(s.minimum ?? 0)} to ${number(s.maximum)}.`);
  else if (s.type === "number" && s.minimum > 0) all.push(`At least ${number(s.minimum)}.`);
  if (s.type === "bool") all.push(s.default === "true" ? "On by default." : "Off by default.");
  else all.push(s.default === "" ? "Not set by default." : `Default: ${s.default}.`);
  if (s.read_only) all.push("Only the command line, the environment and the settings file of the daemon can change it.");
  return all.join(" ");
}

const sentence = (text = "") => (text === "" ? "" : text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : "."));

/** Marked shows code as code: the only mark of Markdown that the descriptions have, and the names of flags. */
const Marked = ({ text }) => text.replace(/ \(repeatable\)|; repeatable/, "").split(/`([^`]*)`|(--[a-z-]+)/).map((part, i) => (i % 3 ? part && html`<code>${part}</code>` : part));
