// Pure: whether a run may have to be asked about before it is sent. The server analyses and remembers; its limits hold
// with or without this page.

/** Whether a graph in the API form has a node that may pay or write for CivitAI, so that the server must look at it. */
export function mayAsk(prompt) {
  return oursIn(prompt).length > 0;
}

// Nodes of ours that never make a person be asked, whatever their inputs are; any other may pay or write.
const HARMLESS = /^CivitaiBridge(Resolve|ImageData|ReadImage|ReadText|GenerationSettings|LoraStack|Estimate|CatalogCheck|WorkflowQuery)$/;

/** The nodes of ours in a graph that may pay or write, as their titles, for when the server cannot be asked. */
export function oursIn(prompt) {
  return Object.values(prompt ?? {})
    .filter((node) => /^Civitai[A-Z]/.test(String(node?.class_type ?? "")) && !HARMLESS.test(node.class_type))
    .map((node) => String(node?._meta?.title || node.class_type));
}

/**
 * What the panel lists of an answer about a graph: `paying`, `writes` and `downloads` as texts with how many more there
 * are. Everything is a stranger's: it is shown as text, cut at `longest` letters.
 */
export function linesOf(list, text, most = 12, longest = 160) {
  const lines = (Array.isArray(list) ? list : []).map((entry) => cut(text(entry), longest));
  return { lines: lines.slice(0, most), more: Math.max(0, lines.length - most) };
}

export function cut(text, longest = 160) {
  const whole = String(text ?? "").replace(/\s+/g, " ").trim();
  return whole.length > longest ? `${whole.slice(0, longest - 1)}…` : whole;
}
