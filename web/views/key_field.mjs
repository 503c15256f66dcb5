// One field for the CivitAI API key. It goes to our route, and nothing ever comes back but whether there is one.
import { loadWords, t } from "../frontend/i18n.js";
import { fromServer } from "../frontend/sentences.mjs";
import { server } from "../frontend/server.js";
import { keyRoutes, viewOf, warningOf } from "../lib/key.mjs";
import { button, h, sentence } from "./make.mjs";
import { dress } from "./style.mjs";

const ACCOUNT = "https://civitai.com/user/account";
const routes = keyRoutes(server);

/** A field for something secret; Enter presses the first of its buttons. */
function secretRow(label, buttons) {
  const input = h("input", { class: "cb-field", type: "password", placeholder: label, autocomplete: "off", spellcheck: "false", "aria-label": label, "data-1p-ignore": "true", "data-lpignore": "true", "data-bwignore": "true" });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return; // closes the dialog
    event.stopPropagation(); // no command of the canvas, and no run, is started from here
    if (event.key === "Enter") buttons[0].click();
  });
  return { row: h("div", { class: "cb-row cb-wide" }, input, ...buttons), input };
}

/** Fill an element with the field; `changed` is told when there is another key, or none. */
export function keyField(box, changed = () => {}) {
  dress();
  const entered = (input) => {
    const value = input.value;
    input.value = "";
    return value;
  };
  const save = button(t("key.save"), () => change(entered(key.input), (value) => (value.trim() ? routes.save(value) : routes.state())));
  const forget = button(t("key.forget"), () => change("", () => routes.forget()));
  const use = button(t("common.continue"), () => change(entered(token.input), (value) => void routes.useToken(value)));
  const key = secretRow(t("key.key"), [save, forget]);
  const token = secretRow(t("key.token"), [use]);
  const status = h("div", { role: "status", class: "cb-soft" }, t("common.asking"));
  const warned = warningOf(window.isSecureContext);
  const warning = warned ? h("div", { class: "cb-bad" }, t(warned)) : null;
  const link = h("a", { href: ACCOUNT, target: "_blank", rel: "noopener noreferrer", style: "color:inherit;text-decoration:underline" }, t("key.make"));

  async function change(value, asking) {
    const answer = await asking(value);
    if (!answer) return;
    const view = viewOf(answer, t);
    status.replaceChildren(...sentence(fromServer(view.sentence)));
    status.className = view.trouble && !view.needsToken ? "cb-bad" : "cb-soft";
    token.row.hidden = !view.needsToken;
    key.row.hidden = link.hidden = !view.canSave;
    forget.hidden = !view.canForget;
    if (view.needsToken) server.whenToken(() => change("", () => routes.state()));
    if (answer.data?.status) changed();
  }

  box.classList.add("cb-panel", "cb-settings");
  box.style.cssText = "height:auto;overflow:visible;background:none;";
  for (const each of [key.row, token.row, link]) each.hidden = true;
  box.replaceChildren(status, key.row, token.row, link, ...(warning ? [warning] : []));
  loadWords().then(() => change("", () => routes.state()));
  return box;
}
