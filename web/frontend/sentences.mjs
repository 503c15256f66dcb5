// What the server wrote, in the page's language. English needs nothing of it; another language's table is loaded with the
// first view that shows such a sentence.
import { inOneLine, sentencesIn, tableFor } from "../lib/sentences.mjs";
import { language } from "./i18n.mjs";

const PATIENCE = 10_000; // milliseconds until the English ones are shown
let loaded = { name: "", of: (sentence) => sentence };
let loading = null;

/** Resolves when the table for ComfyUI's language is here, or cannot be had now: then the sentences stay English. */
export function loadSentences() {
  const name = tableFor(language());
  if (name === loaded.name) return Promise.resolve();
  loading ??= load(name).finally(() => (loading = null));
  return loading;
}

async function load(name) {
  try {
    const answer = name ? await fetch(new URL(`../sentences/${name}.json`, import.meta.url), { signal: AbortSignal.timeout(PATIENCE) }) : null;
    loaded = { name, of: sentencesIn(await answer?.json()) };
  } catch {
    // the server does not answer, or something in between does
  }
}

/** A sentence of the server's, in the page's language where it is known there. */
export function fromServer(sentence) {
  if (tableFor(language()) === loaded.name) return loaded.of(sentence);
  loadSentences(); // for the next one
  return sentence;
}

/** Sentences of the server's, one after the other. */
export function allFromServer(sentences) {
  return inOneLine(sentences.map(fromServer));
}

await loadSentences();
