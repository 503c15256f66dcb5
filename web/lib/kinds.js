// Pure: which node classes are ours and which of them pay or write. The server analyses and remembers; its limits hold
// with or without this page.

/** Whether a node is one of ours. */
export function isOurs(name) {
  return typeof name === "string" && name.startsWith("CivitaiBridge");
}

/** Whether a node class of ours orders from CivitAI's fleet, so that a price can be asked for it. */
export function pays(type) {
  return /^CivitaiBridge(?:Generate|Upscale|RemoveBackground|TagImage|CaptionImage|EnhancePrompt|InterpolateVideo)/.test(String(type ?? ""));
}

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
