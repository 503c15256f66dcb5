// Pure helpers of the report under a node. The page imports every .js file, so nothing here has an effect by itself.

/** The text that a node's `executed` event carries, or null when it carries none. */
export function textOf(output) {
  const text = output?.text;
  if (Array.isArray(text)) return text.map(String).join("\n");
  return typeof text === "string" ? text : null;
}

/** Height in pixels for a report: all of a short one, a scrolling window of a long one. Lines wrap at some 44 letters. */
export function heightFor(text, line = 16, letters = 44) {
  const lines = String(text ?? "")
    .split("\n")
    .reduce((sum, part) => sum + Math.max(1, Math.ceil(part.length / letters)), 0);
  return Math.max(60, Math.min(220, (lines + 1) * line));
}

/** Whether a node is one of ours. */
export function isOurs(name) {
  return typeof name === "string" && name.startsWith("CivitaiBridge");
}
