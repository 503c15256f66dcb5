// Between the Run button and the queue: a graph that may pay or write for CivitAI is looked at by the server first, and
// asked about where it was not agreed to. It guards this page's button alone; the server's limits hold everywhere.
import { app } from "../../../scripts/app.js";
import { mayAsk, oursIn } from "../lib/consent.js";
import { currentPrompt } from "./graph.js";
import { loadWords, t } from "./i18n.js";
import { server } from "./server.js";
import { say } from "./toasts.js";

let isOpen = false; // while a panel is open, a second press does nothing

/** Put the question before every run that the page sends. */
export function guardQueue() {
  const run = app.queuePrompt;
  app.queuePrompt = async function (...parameters) {
    return !isOpen && (await mayRun(parameters[1])) ? run.apply(this, parameters) : false;
  };
}

/** Whether a run may be sent; asks where it must. */
async function mayRun(batch) {
  let prompt;
  try {
    prompt = await currentPrompt();
  } catch {
    return true; // ComfyUI says what is wrong with the graph
  }
  if (!mayAsk(prompt.output)) return true;
  const body = { prompt: prompt.output, workflow: prompt.workflow, batch: Number(batch) || 1, models: "none" };
  const given = await server.post("/civitai_bridge/graph", body);
  if (given.status === 200 && !given.data.asks) return true;
  if (isOpen) return false; // of two presses the first one asks
  isOpen = true;
  try {
    const [{ askAbout }] = await Promise.all([import("../views/consent.mjs"), loadWords()]);
    return await askAbout(given, { prompt, nodes: oursIn(prompt.output), again: () => server.post("/civitai_bridge/graph", body) });
  } catch (error) {
    console.warn("Civitai Bridge: the panel could not be loaded.", error);
    say("error", t("title"), t("consent.not_loaded"));
    return false;
  } finally {
    isOpen = false;
  }
}
