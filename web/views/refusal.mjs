// Why the server gave no answer, in a calm sentence where the person looks, with what can be done about it.
import { t } from "../frontend/i18n.mjs";
import { fromServer } from "../frontend/sentences.mjs";
import { server } from "../frontend/server.mjs";
import { tokenSentence } from "../lib/key.mjs";
import { secondsUntilNext, troubleText } from "../lib/trouble.mjs";
import { button, h, keepKeys, notice, sentence } from "./make.mjs";

/**
 * A box that stands for an answer that is not 200; `again` is called when a person wants it, and `itself` when what stood
 * in the way may have passed.
 */
export function refusal(given, again, itself = again) {
  if (given.status === 401) return tokenBox(given, again);
  const box = notice(sentenceOf(given), button(t("common.try_again"), again));
  goOn(given, box, itself);
  return box;
}

/** Ask again by itself, where what stands in the way passes, once: while `element` is in the page, and looked at. */
export function goOn(given, element, again) {
  const seconds = secondsUntilNext(given);
  if (seconds === null) return;
  const timer = setTimeout(look, seconds * 1000);
  window.addEventListener("online", look);

  function look() {
    if (!element.isConnected) return leave();
    if (document.hidden) return document.addEventListener("visibilitychange", look);
    leave();
    return again();
  }

  function leave() {
    clearTimeout(timer);
    window.removeEventListener("online", look);
    document.removeEventListener("visibilitychange", look);
  }
}

/** The sentence of an answer that is not 200. */
export function sentenceOf(given) {
  return fromServer(troubleText(given, t));
}

/** A field for the admin token of this server; it stays in this page's memory. */
export function tokenBox(given, again) {
  const input = h("input", { class: "cb-field", type: "password", autocomplete: "off", "aria-label": t("key.token"), placeholder: t("key.token"), "data-1p-ignore": true, "data-lpignore": "true", "data-bwignore": "true" });
  const use = button(t("common.continue"), () => {
    const entered = input.value;
    input.value = "";
    server.useToken(entered);
  });
  server.whenToken(() => box.isConnected && again()); // entered here, or in another box that asks for it
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") use.click();
  });
  const box = h("div", { class: "cb-notice" }, h("p", {}, ...sentence(fromServer(tokenSentence(given.data, given.wrongToken, t)))), keepKeys(h("div", { class: "cb-row" }, input, use)));
  return box;
}
