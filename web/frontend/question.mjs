// The question before a run: the server says what a graph may pay and write, and a person what may be.
import { oursIn } from "../lib/kinds.js";
import { loadWords } from "./i18n.mjs";
import { server } from "./server.mjs";

let isOpen = false; // while a panel is open, a second press does nothing

/** Whether a run of a graph that may pay or write may be sent; asks where it must. `batch` is how often it is to run. */
export async function isAgreed({ output, workflow }, batch) {
  if (isOpen) return false;
  const body = { prompt: output, workflow, batch: Number(batch) || 1, models: "none" };
  const given = await server.post("/civitai_bridge/graph", body);
  if (given.status === 200 && !given.data.asks) return true;
  if (isOpen) return false; // of two presses the first one asks
  isOpen = true;
  try {
    const [{ askAbout }] = await Promise.all([import("../views/consent.mjs"), loadWords()]);
    return await askAbout(given, { prompt: { output, workflow }, nodes: oursIn(output), again: () => server.post("/civitai_bridge/graph", body) });
  } finally {
    isOpen = false;
  }
}
