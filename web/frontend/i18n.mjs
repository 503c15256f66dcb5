// The page's words: read from ComfyUI's own /i18n, in ComfyUI's own language.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { numberText, sizeText, translator } from "../lib/words.mjs";

const PATIENCE = 10_000; // milliseconds until keys stand in for words

let languages = {};
let loading = null;
let current = { language: "", t: (key) => key };

/** Resolves when the words are here; they are asked for once, and again after a failure. */
export function loadWords() {
  loading ??= Promise.race([api.getCustomNodesI18n(), tooLate()]).then(
    (all) => {
      if (typeof all !== "object" || all === null) return notNow(); // a page of something in between
      languages = all;
      current = { language: "", t: (key) => key };
    },
    notNow,
  );
  return loading;
}

function tooLate() {
  return new Promise((_, reject) => setTimeout(reject, PATIENCE));
}

// The server does not answer: keys stand in until it does.
function notNow() {
  loading = null;
}

/** ComfyUI's language, like `en` or `zh-TW`. */
export function language() {
  return String(app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en");
}

/** The text of a key of `civitai_bridge` in locales/<language>/main.json. */
export function t(key, values) {
  const now = language();
  if (current.language !== now) current = { language: now, t: translator(languages, now) };
  return current.t(key, values);
}

export const number = (value) => numberText(value, language());
export const size = (bytes) => sizeText(bytes, language());

/** Calls back when a person chooses another language. */
export function onLanguage(callback) {
  app.ui?.settings?.addEventListener?.("Comfy.Locale.change", callback);
}
