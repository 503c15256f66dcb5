// Pure: the lines of the question before a run.

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
