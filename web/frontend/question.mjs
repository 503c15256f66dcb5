// The question before a run: the server says what a graph may pay and write, and a person what may be.
import { asksNothing } from "../lib/consent.mjs";
import { oursIn } from "../lib/kinds.js";
import { loadWords } from "./i18n.mjs";
import { server } from "./server.mjs";

const QUIET = 700; // milliseconds until a person is told that the server is asked
const PATIENCE = 15_000; // … and until the panel itself is given up

let isOpen = false; // while a panel is open, a second press does nothing

/** Whether a run of a graph that may pay or write may be sent; asks where it must. `batch` is how often it is to run. */
export async function isAgreed({ output, workflow }, batch) {
  if (isOpen) return false;
  const body = { prompt: output, workflow, batch: Number(batch) || 1, models: "none" };
  const ask = () => server.post("/civitai_bridge/graph", body);
  const asked = ask();
  const given = await Promise.race([asked, new Promise((resolve) => setTimeout(resolve, QUIET, null))]);
  if (given && asksNothing(given)) return true;
  if (isOpen) return false; // of two presses the first one asks
  isOpen = true;
  try {
    const [{ askAbout }] = await inTime([import("../views/consent.mjs"), loadWords()]);
    return await askAbout(asked, { prompt: { output, workflow }, nodes: oursIn(output), again: ask });
  } finally {
    isOpen = false;
  }
}

// The panel is a file of the server's, which may hang: the button would be dead without a word.
function inTime(loading) {
  const tooLate = new Promise((_, reject) => setTimeout(reject, PATIENCE, new Error("The server does not answer.")));
  return Promise.race([Promise.all(loading), tooLate]);
}
