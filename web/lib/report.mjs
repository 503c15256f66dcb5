// Pure helpers of the report under a node.

const LINE = 16; // pixels
const LETTERS = 44; // in a line of a node of usual width
const MARGIN = 20; // what the classic canvas takes away from a widget's height
const HIGHEST = 600; // pixels, after which a report scrolls

/** The text that a node's `executed` event carries, or null when it carries none. */
export function textOf(output) {
  const text = output?.text;
  if (Array.isArray(text)) return text.map(String).join("\n");
  return typeof text === "string" ? text : null;
}

/** Height in pixels for a report that was not laid out yet: all of a short one, a window of a long one. */
export function heightFor(text, line = LINE, letters = LETTERS) {
  const lines = String(text ?? "")
    .split("\n")
    .reduce((sum, part) => sum + Math.max(1, Math.ceil(part.length / letters)), 0);
  return Math.max(60, Math.min(220, (lines + 1) * line));
}

/** Height in pixels that the classic canvas must reserve: as measured, else as estimated. */
export function heightNeeded(measured, text) {
  return Math.min(HIGHEST, (measured || heightFor(text)) + MARGIN);
}
