// Between the Run button and the queue: a graph that may pay or write for CivitAI is looked at by the server first, and
// asked about where it was not agreed to. It guards this page's button alone; the server's limits hold everywhere.
import { app } from "../../../scripts/app.js";
import { mayAsk } from "../lib/kinds.js";
import { notLoaded } from "./tab.js";

/** Put the question before every run that the page sends. */
export function guardQueue() {
  const run = app.queuePrompt;
  app.queuePrompt = async function (...parameters) {
    return (await mayRun(parameters[1])) ? run.apply(this, parameters) : false;
  };
}

/** Whether a run may be sent. */
async function mayRun(batch) {
  let prompt;
  try {
    prompt = await app.graphToPrompt();
  } catch {
    return true; // ComfyUI says what is wrong with the graph
  }
  if (!mayAsk(prompt.output)) return true;
  try {
    const { isAgreed } = await import("./question.mjs");
    return await isAgreed(prompt, batch);
  } catch (error) {
    console.warn("Civitai Bridge: the question before a run could not be loaded.", error);
    app.extensionManager?.toast?.add?.({ severity: "error", summary: "Civitai", detail: await notLoaded("consent.not_loaded"), life: 15000 });
    return false;
  }
}
