// One field for the CivitAI API key. It goes to our route, and nothing ever comes back but whether there is one.
import { loadWords, t } from "../frontend/i18n.mjs";
import { fromServer } from "../frontend/sentences.mjs";
import { server } from "../frontend/server.mjs";
import { keyRoutes, viewOf, warningOf } from "../lib/key.mjs";
import { button, h, sentence } from "./make.mjs";
import { goOn } from "./refusal.mjs";
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

/**
 * Fill an element with the field; `changed` is told when there is another key, or none. Gives a function that looks again
 * how things stand.
 */
export function keyField(box, changed = () => {}) {
  dress();
  const entered = (input) => {
    const value = input.value;
    input.value = "";
    return value;
  };
  const save = button(t("key.save"), () => saveKey(entered(key.input)));
  const forget = button(t("key.forget"), () => change("", () => routes.forget()));
  const use = button(t("common.continue"), () => change(entered(token.input), (value) => void routes.useToken(value)));
  const key = secretRow(t("key.key"), [save, forget]);
  const token = secretRow(t("key.token"), [use]);
  const status = h("div", { role: "status", class: "cb-soft" }, t("common.asking"));
  const warned = warningOf(window.isSecureContext);
  const warning = warned ? h("div", { class: "cb-bad" }, t(warned)) : null;
  const link = h("a", { href: ACCOUNT, target: "_blank", rel: "noopener noreferrer", style: "color:inherit;text-decoration:underline" }, t("key.make"));

  async function saveKey(value) {
    const answer = await change(value, (entry) => (entry.trim() ? routes.save(entry) : routes.state()));
    if (answer.status !== 0 || !value.trim()) return;
    key.input.value ||= value; // nobody has it: it need not be looked for again
    status.textContent = t("common.not_saved");
  }

  const look = () => change("", () => routes.state());

  async function change(value, asking) {
    const answer = await asking(value);
    if (answer) show(answer);
    return answer;
  }

  function show(answer) {
    const view = viewOf(answer, t);
    status.replaceChildren(...sentence(fromServer(view.sentence)));
    goOn(answer, status, look);
    if (answer.status === 0) return; // what can be pressed stays as it was
    status.className = view.trouble && !view.needsToken ? "cb-bad" : "cb-soft";
    token.row.hidden = !view.needsToken;
    key.row.hidden = link.hidden = !view.canSave;
    forget.hidden = !view.canForget;
    if (view.needsToken) server.whenToken(look);
    if (answer.data?.status) changed();
  }

  box.classList.add("cb-panel", "cb-settings");
  box.style.cssText = "height:auto;overflow:visible;background:none;";
  for (const each of [key.row, token.row, link]) each.hidden = true;
  box.replaceChildren(status, key.row, token.row, link, ...(warning ? [warning] : []));
  loadWords().then(look);
  return look;
}
