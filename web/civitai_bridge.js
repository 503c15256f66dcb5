// Shows what a Civitai Bridge node reports, below the node, in the classic canvas and in Nodes 2.0.
import { app } from "../../scripts/app.js";
import { heightFor, isOurs, textOf } from "./lib/report.js";

const NAME = "civitai_bridge_report";

function reportWidget(node) {
  const known = node.widgets?.find((widget) => widget.name === NAME);
  if (known) return known;
  const element = document.createElement("textarea");
  element.readOnly = true;
  element.spellcheck = false;
  element.placeholder = "The report appears here.";
  element.style.cssText =
    "width:100%;height:100%;box-sizing:border-box;resize:none;border:0;border-radius:6px;padding:6px 8px;" +
    "font:12px/16px ui-monospace,monospace;white-space:pre-wrap;" +
    "background:var(--comfy-input-bg);color:var(--input-text);";
  const widget = node.addDOMWidget(NAME, "CIVITAI_BRIDGE_REPORT", element, {
    getValue: () => element.value,
    setValue: (value) => {
      element.value = value ?? ""; // as text: nothing from the service is ever HTML here
    },
    getMinHeight: () => heightFor(element.value),
    serialize: false,
  });
  widget.serialize = false;
  return widget;
}

app.registerExtension({
  name: "civitai_bridge.report",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!isOurs(nodeData.name)) return;
    const executed = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (output) {
      executed?.call(this, output);
      const text = textOf(output);
      if (text === null) return;
      reportWidget(this).value = text;
      const wanted = this.computeSize?.();
      if (wanted && this.size && this.size[1] < wanted[1]) this.setSize?.([this.size[0], wanted[1]]);
      this.setDirtyCanvas?.(true, true);
    };
  },
});
