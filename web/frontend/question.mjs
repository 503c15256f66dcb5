// The question before a run: the server says what a graph may pay and write, and a person what may be.
import { asksNothing, withWrittenNames } from "../lib/consent.mjs";
import { oursIn } from "../lib/kinds.js";
import { widgetValue } from "./graph.mjs";
import { loadWords } from "./i18n.mjs";
import { server } from "./server.mjs";

const QUIET = 700; // milliseconds until a person is told that the server is asked
const PATIENCE = 15_000; // … and until the panel itself is given up

let panel = null; // resolves when the open panel is closed
let agreed = null; // to what the last run was let through: {graph, hash, most}; without a hash the person decided alone

/** Whether a run of a graph that may pay or write may begin; asks where it must. `batch` is how often it is to run. */
export async function isAgreed(prompt, batch) {
  if (panel) return false; // while it is open, a second press does nothing
  const answer = await answerTo(prompt, Number(batch) || 1, null);
  if (answer) agreed = { graph: JSON.stringify(prompt.output), ...answer };
  return Boolean(answer);
}

/** Whether what is sent now is what was agreed to; asks where it is not. */
export async function isStillAgreed(prompt) {
  const now = agreed;
  if (now && (!now.hash || now.graph === JSON.stringify(prompt.output))) return true;
  while (panel) await panel;
  return Boolean(await answerTo(prompt, 1, now));
}

/** `{hash, most}` of what was agreed to, now or before; null for a no. */
async function answerTo({ output, workflow }, batch, before) {
  const body = { prompt: withWrittenNames(output, widgetValue), workflow, batch, models: "none" };
  const ask = () => server.post("/civitai_bridge/graph", body);
  const asked = ask();
  const given = await Promise.race([asked, new Promise((resolve) => setTimeout(resolve, QUIET, null))]);
  const { hash, most_buzz: most } = given?.data ?? {};
  if (given && (asksNothing(given) || (hash && hash === before?.hash && most <= before.most))) return { hash, most };
  if (panel) return null; // of two presses the first one asks
  let closed;
  panel = new Promise((resolve) => (closed = resolve));
  try {
    const [{ askAbout }] = await inTime([import("../views/consent.mjs"), loadWords()]);
    return (await askAbout(asked, { prompt: { output, workflow }, nodes: oursIn(output), again: ask })) || null;
  } finally {
    panel = null;
    closed();
  }
}

// The panel is a file of the server's, which may hang: the button would be dead without a word.
function inTime(loading) {
  const tooLate = new Promise((_, reject) => setTimeout(reject, PATIENCE, new Error("The server does not answer.")));
  return Promise.race([Promise.all(loading), tooLate]);
}
