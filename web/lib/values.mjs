// Pure: what a field of the server's answers holds, or nothing where it holds something else.

/** A text, or a number as text; `""` for anything else. */
export function text(value) {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

/** A list; an empty one for anything else. */
export function list(value) {
  return Array.isArray(value) ? value : [];
}
