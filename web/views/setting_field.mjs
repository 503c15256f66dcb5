// One setting of the server in ComfyUI's dialog. What loosens a safety setting needs the admin token, once per server.
import { t } from "../frontend/i18n.mjs";
import { onLook } from "../frontend/progress.mjs";
import { server } from "../frontend/server.mjs";
import { controlOf, needsAdmin } from "../lib/settings.js";
import { button, h, keepKeys } from "./make.mjs";
import { goOn, sentenceOf, tokenBox } from "./refusal.mjs";
import { dress } from "./style.mjs";

const PATH = "/civitai_bridge/settings";
let asked = null; // one question for all fields of a dialog that is opened
let askedAt = 0;

function state() {
  if (!asked || Date.now() - askedAt > 2000) {
    askedAt = Date.now();
    asked = server.get(PATH);
  }
  return asked;
}

/** Fill an element with a control for a setting. */
export async function settingField(box, name) {
  dress();
  box.classList.add("cb-panel", "cb-settings");
  box.style.cssText = "height:auto;overflow:visible;background:none;";
  const status = h("div", { role: "status", class: "cb-soft" });
  const place = h("div", { class: "cb-row cb-wide" });
  box.replaceChildren(place, status);
  const forget = onLook(() => (box.isConnected ? isUntouched() && load() : forget())); // another tab may have changed it
  await load();

  function isUntouched() {
    return !box.contains(document.activeElement) && !box.querySelector("button:not([hidden])");
  }

  async function load(fresh = false) {
    if (fresh) asked = null;
    const given = await state();
    if (needsAdmin(given)) return ask(given, () => load(true));
    goOn(given, status, () => load(true));
    if (given.status !== 200) return void (status.textContent = sentenceOf(given));
    const setting = settingOf(given.data, name);
    if (!setting) return void (status.textContent = t("settings.unknown"));
    place.replaceChildren(...control(name, setting, save));
    status.textContent = "";
  }

  async function save(value) {
    const given = await server.post(PATH, { name, value });
    if (needsAdmin(given)) return ask(given, () => save(value));
    asked = null;
    status.className = given.status === 200 ? "cb-soft" : "cb-bad";
    if (given.status === 200) await load(true);
    status.textContent = given.status === 200 ? t("settings.saved") : given.status === 0 ? t("common.not_saved") : sentenceOf(given);
  }

  function ask(given, again) {
    status.className = "cb-soft";
    status.replaceChildren(tokenBox(given, again));
  }
}

function settingOf(data, name) {
  return (data.settings ?? []).find((each) => each.name === name);
}

const KINDS = {
  switch: (name, { value }, save) => {
    const input = h("input", { type: "checkbox", "aria-label": t(`settings.names.${name}`), checked: value === true });
    input.addEventListener("change", () => save(input.checked));
    return [input];
  },
  choice: (name, { value, choices }, save) => {
    const options = choices.map((choice) => h("option", { value: choice, selected: choice === value }, choiceText(name, choice)));
    const input = h("select", { class: "cb-field", "aria-label": t(`settings.names.${name}`) }, ...options);
    input.addEventListener("change", () => save(input.value));
    return [input];
  },
  list: (name, { value, choices }, save) => {
    let chosen = [...(value ?? [])];
    const boxes = choices.map((choice) => {
      const input = h("input", { type: "checkbox", checked: chosen.includes(choice) });
      input.addEventListener("change", () => {
        chosen = input.checked ? [...chosen, choice] : chosen.filter((each) => each !== choice);
        save(chosen);
      });
      return h("label", { class: "cb-row" }, input, choiceText(name, choice));
    });
    return [h("div", { role: "group", "aria-label": t(`settings.names.${name}`) }, ...boxes)];
  },
  number: (name, setting, save) => typed(name, setting, (text) => save(Number(text)), { type: "number", min: setting.least ?? 0, step: 1 }),
  text: (name, setting, save) => typed(name, setting, save, { type: "text", spellcheck: "false" }),
};

function control(name, setting, save) {
  return KINDS[controlOf(setting)](name, setting, save);
}

function typed(name, { value }, save, properties) {
  const input = h("input", { class: "cb-field", "aria-label": t(`settings.names.${name}`), value: value ?? "", ...properties });
  const keep = button(t("key.save"), () => save(input.value));
  keep.hidden = true;
  input.addEventListener("input", () => (keep.hidden = false));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") keep.click();
  });
  return [keepKeys(input), keep];
}

function choiceText(name, choice) {
  const key = `settings.choices.${choice}`;
  const text = t(key);
  return text === key ? choice : text;
}
