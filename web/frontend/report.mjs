// What a node of ours reports, below the node; in the classic canvas and in Nodes 2.0.
import { heightNeeded, textOf } from "../lib/report.mjs";

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

/** Show what a node's `executed` output tells, where it tells something. */
export function showOutput(node, output) {
  const text = textOf(output);
  if (text !== null) showReport(node, text);
}
