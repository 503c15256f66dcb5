// Pure: what a field of the server's answers holds, or nothing where it holds something else.

/** A text, or a number as text; `""` for anything else. */
export function text(value) {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

// Control characters but tab and line feed, and what turns the direction of the text that follows it.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** A stranger's text as it may stand between ours: nothing in it turns what stands around it. */
export function shown(value) {
  return String(value).replace(UNSEEN, "");
}

/** … and of a length that leaves room for ours. */
export function short(value, longest = 1000) {
  const whole = shown(value);
  return whole.length > longest ? `${whole.slice(0, longest - 1)}…` : whole;
}

/** A list; an empty one for anything else. */
export function list(value) {
  return Array.isArray(value) ? value : [];
}
