// Between the Run button and the queue: a graph that may pay or write for CivitAI is looked at by the server first, and
// asked about where it was not agreed to. It guards this page's button alone; the server's limits hold everywhere.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { mayAsk } from "../lib/kinds.js";
import { notLoaded } from "./tab.js";

let underWay = 0; // runs that were let through and are being put into the queue

/**
 * Put the question before every run that the page sends. What is sent at last may be another graph than the one that was
 * asked about: a value that changes before or after each run, in a batch or by itself. So it is looked at once more.
 */
export function guardQueue() {
  const run = app.queuePrompt;
  app.queuePrompt = async function (...parameters) {
    if (!(await mayRun(parameters[1]))) return false;
    underWay += 1;
    try {
      return await run.apply(this, parameters);
    } finally {
      underWay -= 1;
    }
  };
  const send = api.queuePrompt;
  api.queuePrompt = async function (number, prompt, ...more) {
    if (underWay && !(await isAllowed(prompt, (question) => question.isStillAgreed(prompt)))) {
      throw new Error(await notLoaded("consent.not_sent")); // ends a batch, and ComfyUI shows it
    }
    return send.call(this, number, prompt, ...more);
  };
}

/** Whether a run may begin. */
async function mayRun(batch) {
  let prompt;
  try {
    prompt = await app.graphToPrompt();
  } catch {
    return true; // ComfyUI says what is wrong with the graph
  }
  return isAllowed(prompt, (question) => question.isAgreed(prompt, batch));
}

async function isAllowed(prompt, ask) {
  if (!mayAsk(prompt?.output)) return true;
  try {
    return await ask(await import("./question.mjs"));
  } catch (error) {
    console.warn("Civitai Bridge: the question before a run could not be loaded.", error);
    app.extensionManager?.toast?.add?.({ severity: "error", summary: "Civitai", detail: await notLoaded("consent.not_loaded"), life: 15000 });
    return false;
  }
}
