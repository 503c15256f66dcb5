// What a node of ours reports, below the node, and its errors where the frontend hides their sentence; in the classic
// canvas and in Nodes 2.0.
import { api } from "../../../scripts/api.js";
import { actionsOf, hidesErrors, nameOf, toastOf } from "../lib/errors.js";
import { heightNeeded, isOurs, textOf } from "../lib/report.js";
import { nodeOf } from "./graph.js";
import { loadWords, t } from "./i18n.js";
import { openSettings } from "./settings.js";
import { openTab } from "./tab.js";
import { offer, openPage, say } from "./toasts.js";

const NAME = "civitai_bridge_report";
const OUTER =
  "width:100%;height:100%;max-height:600px;box-sizing:border-box;overflow:auto;border-radius:6px;" +
  "background:var(--comfy-input-bg);color:var(--input-text);";
const INNER =
  "padding:6px 8px;font:12px/16px ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere;user-select:text;";

// Nodes 2.0 gives the row the element's own height, so it must not be a textarea, which has two lines; the classic canvas
// goes by getMinHeight, which must know the wrapped lines, so the inner element is measured.
function reportWidget(node) {
  const widgets = node.widgets ?? [];
  const existing = widgets.find((widget) => widget.name === NAME);
  if (existing) return existing;
  const element = document.createElement("div");
  const inner = document.createElement("div");
  element.style.cssText = OUTER;
  inner.style.cssText = INNER;
  element.append(inner);
  const widget = node.addDOMWidget(NAME, "CIVITAI_BRIDGE_REPORT", element, {
    getValue: () => inner.textContent,
    setValue: (value) => {
      inner.textContent = value ?? ""; // as text: nothing from the service is ever HTML here
    },
    getMinHeight: () => heightNeeded(inner.offsetHeight, inner.textContent),
    serialize: false,
  });
  widget.serialize = false;
  return widget;
}

function fit(node) {
  const height = node.computeSize?.()[1];
  if (height && node.size && node.size[1] < height) node.setSize?.([node.size[0], height]);
  node.setDirtyCanvas?.(true, true);
}

/** Show a text below a node, all its lines; the classic canvas scrolls a very long one. */
export function showReport(node, text) {
  reportWidget(node).value = text;
  fit(node);
  requestAnimationFrame(() => requestAnimationFrame(() => fit(node))); // once it is laid out
}

/** Have a node type of ours show what its runs report. */
export function showReports(nodeType, nodeData) {
  if (!isOurs(nodeData.name)) return;
  const executed = nodeType.prototype.onExecuted;
  nodeType.prototype.onExecuted = function (output) {
    executed?.call(this, output);
    const text = textOf(output);
    if (text !== null) showReport(this, text);
  };
}

const RUN = {
  account: () => openTab("account"),
  models: () => openTab("models"),
  limits: () => openSettings(),
  settings: () => openSettings(),
  buzz: () => openPage("https://civitai.com/purchase/buzz"),
};

const notes = new Map(); // of nodes that failed, by their ids, until the node has run

async function failed({ detail }) {
  if (!isOurs(detail?.node_type)) return;
  const [{ fromServer }] = await Promise.all([import("./sentences.mjs"), loadWords()]);
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
