// Has node types of ours show what their runs report.
import { isOurs } from "../lib/kinds.js";

/** Have a node type of ours show what its runs report; how is loaded with the first report. */
export function showReports(nodeType, nodeData) {
  if (!isOurs(nodeData.name)) return;
  const executed = nodeType.prototype.onExecuted;
  nodeType.prototype.onExecuted = function (output) {
    executed?.call(this, output);
    import("./report.mjs").then(
      ({ showOutput }) => showOutput(this, output),
      (error) => console.warn("Civitai Bridge: a report could not be shown.", error),
    );
  };
}
