// Why the server gave no answer, in a calm sentence where the person looks, with what can be done about it.
import { t } from "../frontend/i18n.js";
import { fromServer } from "../frontend/sentences.mjs";
import { server } from "../frontend/server.js";
import { tokenSentence } from "../lib/key.mjs";
import { button, h, keepKeys, notice, sentence } from "./make.mjs";

/** A box that stands for an answer that is not 200; `again` is called when it may go on. */
export function refusal(given, again) {
  if (given.status === 401) return tokenBox(given, again);
  return notice(sentenceOf(given), button(t("common.try_again"), again));
}

/** The sentence of an answer that is not 200. */
export function sentenceOf({ status, data }) {
  if (status === 0) return t("common.no_server");
  return data?.error ? fromServer(String(data.error)) : t("common.no_words", { status });
}

/** A field for the admin token of this server; it stays in this page's memory. */
export function tokenBox(given, again) {
  const input = h("input", { class: "cb-field", type: "password", autocomplete: "off", "aria-label": t("key.token"), placeholder: t("key.token"), "data-1p-ignore": true, "data-lpignore": "true", "data-bwignore": "true" });
  const use = button(t("common.continue"), () => {
    const entered = input.value;
    input.value = "";
    server.useToken(entered);
  });
  server.whenToken(() => again()); // entered here, or in another box that asks for it
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") use.click();
  });
  return h("div", { class: "cb-notice" }, h("p", {}, ...sentence(fromServer(tokenSentence(given.data, given.wrongToken, t)))), keepKeys(h("div", { class: "cb-row" }, input, use)));
}
