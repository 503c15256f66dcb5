// One field for the CivitAI API key in ComfyUI's settings. It is no setting: ComfyUI would write it into its own file
// and send it back to every page. It goes to our route, and nothing ever comes back but whether there is one.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { clearToasts } from "./lib/errors.js";
import { keyRoutes, SETTING, viewOf, warningOf } from "./lib/key.js";

const ACCOUNT = "https://civitai.com/user/account";
const BOX = "display:flex;flex-direction:column;gap:8px;width:min(440px,60vw);font-size:13px;line-height:1.4;";
const ROW = "display:flex;gap:8px;";
const INPUT =
  "flex:1 1 auto;min-width:0;padding:6px 8px;border-radius:6px;border:1px solid var(--border-color);" +
  "background:var(--comfy-input-bg);color:var(--input-text);";
const BUTTON =
  "flex:none;padding:6px 12px;border-radius:6px;border:1px solid var(--border-color);cursor:pointer;" +
  "background:var(--comfy-menu-bg);color:var(--input-text);";
const CODE = "font-family:ui-monospace,monospace;user-select:all;overflow-wrap:anywhere;color:var(--input-text);";

const routes = keyRoutes((path, options) => api.fetchApi(path, options));

function make(name, style, members = {}) {
  const element = document.createElement(name);
  element.style.cssText = style;
  return Object.assign(element, members);
}

/** A row with a field for something secret and buttons; Enter presses the first of them. */
function secretRow(label, buttons) {
  const row = make("div", ROW);
  const input = make("input", INPUT, { type: "password", placeholder: label, autocomplete: "off", spellcheck: false });
  input.setAttribute("aria-label", label);
  for (const manager of ["data-1p-ignore", "data-lpignore", "data-bwignore"]) input.setAttribute(manager, "true");
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return; // closes the dialog
    event.stopPropagation(); // no command of the canvas, and no run, is started from here
    if (event.key === "Enter") buttons[0].click();
  });
  row.append(input, ...buttons);
  return { row, input };
}

/** A sentence as text; what stands between backticks is a command to copy. */
function write(element, sentence) {
  const parts = sentence.split("`");
  element.replaceChildren(
    ...parts.map((part, index) => (index % 2 ? make("code", CODE, { textContent: part }) : part)),
  );
}

function keyField() {
  const save = make("button", BUTTON, { type: "button", textContent: "Save" });
  const forget = make("button", BUTTON, { type: "button", textContent: "Forget" });
  const use = make("button", BUTTON, { type: "button", textContent: "Continue" });
  const key = secretRow("CivitAI API key", [save, forget]);
  const token = secretRow("Admin token of this server", [use]);
  const status = make("div", "overflow-wrap:anywhere;");
  status.setAttribute("role", "status");
  const warning = make("div", "color:var(--error-text);", { textContent: warningOf(window.isSecureContext) });
  warning.hidden = !warning.textContent;
  const link = make("a", "color:inherit;text-decoration:underline;", { href: ACCOUNT, target: "_blank", rel: "noopener" });
  link.textContent = "Make a key at civitai.com/user/account";

  function show(answer) {
    const view = viewOf(answer);
    write(status, view.sentence);
    status.style.color = view.trouble && !view.needsToken ? "var(--error-text)" : "var(--descrip-text)";
    token.row.style.display = view.needsToken ? "flex" : "none";
    key.row.style.display = link.style.display = view.canSave ? "" : "none";
    if (view.canSave) key.row.style.display = "flex";
    forget.style.display = view.canForget ? "" : "none";
  }

  async function change(asking) {
    for (const button of [save, forget, use]) button.disabled = true;
    try {
      show(await asking());
    } finally {
      for (const button of [save, forget, use]) button.disabled = false;
    }
  }

  save.addEventListener("click", () => {
    const entered = key.input.value;
    key.input.value = "";
    if (entered.trim()) change(() => routes.save(entered));
  });
  forget.addEventListener("click", () => change(() => routes.forget()));
  use.addEventListener("click", () => {
    const entered = token.input.value;
    token.input.value = "";
    if (routes.useToken(entered)) change(() => routes.state());
  });

  clearToasts(app.extensionManager?.toast);
  const box = make("div", BOX);
  box.append(status, key.row, token.row, link, warning);
  show({ status: 200, data: { source: "" } });
  write(status, "Asking the server…");
  status.style.color = "var(--descrip-text)";
  change(() => routes.state());
  return box;
}

app.registerExtension({
  name: "civitai_bridge.key",
  settings: [
    {
      id: SETTING,
      name: "CivitAI API key",
      category: ["Civitai Bridge", "Account", "CivitAI API key"],
      tooltip: "Kept on the server, for its owner alone; never in a graph, never in this page's settings.",
      defaultValue: null,
      type: keyField, // never calls the setter, so that ComfyUI stores nothing
    },
  ],
});
