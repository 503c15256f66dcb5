// Errors of our nodes, where the frontend hides their sentence or a person can do something about them.
import { api } from "../../../scripts/api.js";
import { actionsOf, hidesErrors, nameOf, toastOf } from "../lib/errors.mjs";
import { isOurs } from "../lib/kinds.js";
import { nodeOf } from "./graph.mjs";
import { loadWords, t } from "./i18n.mjs";
import { openSettings } from "./settings.js";
import { openTab } from "./tab.js";

const RUN = {
  account: () => openTab("account"),
  models: () => openTab("models"),
  limits: () => openSettings(),
  settings: () => openSettings(),
  buzz: () => import("./toasts.mjs").then(({ openPage }) => openPage("https://civitai.com/purchase/buzz")),
};

const notes = new Map(); // of nodes that failed, by their ids, until the node has run

async function failed({ detail }) {
  if (!isOurs(detail?.node_type)) return;
  const [{ fromServer }, { offer, say }] = await Promise.all([import("./sentences.mjs"), import("./toasts.mjs"), loadWords()]);
  const toast = toastOf(detail, nodeOf(detail.node_id)?.title);
  if (!toast) return;
  toast.detail = fromServer(toast.detail);
  const actions = actionsOf(nameOf(detail));
  if (actions.length) notes.set(String(detail.node_id), offer(toast.summary, toast.detail, actions.map((name) => ({ label: t(`errors.${name}`), run: RUN[name] }))));
  else if (hidesErrors(window.__COMFYUI_FRONTEND_VERSION__)) say("error", toast.summary, toast.detail);
}

function ran({ detail }) {
  const id = String(detail?.node);
  notes.get(id)?.remove(); // it does not hold any more
  notes.delete(id);
}

/** Listen for nodes of ours that fail, and for their running after all. */
export function showErrors() {
  api.addEventListener("execution_error", failed);
  api.addEventListener("executed", ran);
}
