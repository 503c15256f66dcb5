// The nodes for what was pasted or dropped, put on the canvas.
import { planOf } from "../lib/plan.mjs";
import { addNodes, upload } from "./graph.mjs";
import { loadWords, t } from "./i18n.mjs";
import { server } from "./server.mjs";
import { pageSetting } from "./settings.js";
import { say } from "./toasts.mjs";

const PATIENCE = 6; // seconds until the page makes the nodes as it thinks right itself

/** Put the nodes for a reading on the canvas; `place` is in the canvas' own units. */
export async function addReading(reading, place) {
  await loadWords();
  const { kind, ...what } = reading;
  const body = kind === "picture" ? { image: what.name } : what;
  const given = await server.post("/civitai_bridge/paste", { ...body, to: pageSetting("pasteTo") }, { patience: PATIENCE });
  const plan = planOf(reading, given.status === 200 ? given.data : null);
  const made = addNodes(plan, place);
  if (!made) return say("error", t("title"), t("paste.no_nodes"));
  return say("success", t(`paste.${kind}`), t("paste.undo"), 6000);
}

/** Put the nodes for a picture file on the canvas: it goes into ComfyUI's input folder. */
export async function addPicture(file, place) {
  await loadWords();
  try {
    return await addReading({ kind: "picture", name: await upload(file) }, place);
  } catch (error) {
    const isAnswered = /^HTTP \d+$/.test(error.message);
    return say("error", t("title"), isAnswered ? t("paste.no_upload", { reason: error.message }) : t("paste.no_answer"));
  }
}
