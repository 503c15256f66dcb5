// What the page says in passing: ComfyUI's toasts, and a note of our own where there is something to press, which the
// toasts of older frontends cannot hold.
import { app } from "../../../scripts/app.js";
import { clearToasts, showToast } from "../lib/errors.mjs";
import { short } from "../lib/values.mjs";
import { t } from "./i18n.mjs";

const LIFE = 15000; // milliseconds
const NOTE =
  "position:fixed;inset:auto 24px 24px auto;margin:0;z-index:99999;max-width:min(420px,80vw);padding:12px 14px;border-radius:8px;" +
  "font:13px/1.45 Inter,Arial,sans-serif;background:var(--comfy-menu-bg,#353535);color:var(--input-text,#ddd);" +
  "border:1px solid var(--border-color,#4e4e4e);border-left:4px solid var(--error-text,#ff4444);" +
  "box-shadow:0 4px 18px rgb(0 0 0 / 40%);overflow-wrap:anywhere;";
const BUTTON =
  "padding:5px 12px;border-radius:6px;border:1px solid var(--border-color,#4e4e4e);cursor:pointer;font:inherit;" +
  "background:var(--comfy-input-bg,#222);color:var(--input-text,#ddd);";

/** A toast of ComfyUI's. `severity` is `success`, `info`, `warn` or `error`; `life` is in milliseconds. */
export function say(severity, summary, detail = "", life = LIFE) {
  showToast(app.extensionManager?.toast, { severity, ...readable(summary, detail), life });
}

/** Take our toasts away. */
export function clearOurs() {
  clearToasts(app.extensionManager?.toast);
}

// A node may be called whatever its maker likes, over the whole page.
function readable(summary, detail) {
  return { summary: short(summary, 100), detail: short(detail, 600) };
}

let shown = null;

/** A note with buttons, `actions` as `[{label, run}]`; it stays until it is closed, and another one takes its place. */
export function offer(summary, detail, actions) {
  shown?.remove();
  const note = document.createElement("div");
  note.style.cssText = NOTE;
  note.className = "cb-note";
  note.setAttribute("role", "alert");
  const title = document.createElement("strong");
  const words = readable(summary, detail);
  title.textContent = words.summary;
  const body = document.createElement("div");
  body.style.cssText = "white-space:pre-line;margin:4px 0 10px;max-height:40vh;overflow:auto;";
  body.textContent = words.detail;
  const row = document.createElement("div");
  row.style.cssText = "display:flex;flex-wrap:wrap;gap:8px;justify-content:flex-end;";
  const close = { label: t("common.close"), run() {} };
  for (const action of [...actions, close]) {
    const button = document.createElement("button");
    button.type = "button";
    button.style.cssText = BUTTON;
    button.textContent = action.label;
    button.addEventListener("click", () => {
      note.remove();
      action.run();
    });
    row.append(button);
  }
  note.append(title, body, row);
  note.addEventListener("keydown", (event) => {
    event.stopPropagation(); // no command of the canvas is started from here
    if (event.key === "Escape") note.remove();
  });
  document.body.append(note);
  note.popover = "manual"; // above ComfyUI's own toasts, whatever their height
  note.showPopover?.();
  shown = note;
  return note;
}

/** A page of CivitAI's, or of this pack's, in a tab of its own that knows nothing of this one. */
export function openPage(address) {
  window.open(address, "_blank", "noopener,noreferrer");
}
