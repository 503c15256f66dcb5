// Pure: the lines of the question before a run.
import { list, short, shown } from "./values.mjs";

/** Whether the server has said of a graph that nobody needs to be asked; whatever else was answered says no such thing. */
export function asksNothing({ status, data }) {
  return status === 200 && data?.asks === false;
}

/** Whether an answer says what a graph will do, so that it can be shown. */
export function tellsOfGraph({ status, data }) {
  return status === 200 && typeof data?.asks === "boolean" && typeof data.hash === "string" && Number.isFinite(data.most_buzz);
}

/**
 * What the panel lists of an answer about a graph: `paying`, `writes` and `downloads` as texts with how many more there
 * are. Everything is a stranger's: it is shown as text, cut at `longest` letters.
 */
export function linesOf(entries, text, most = 12, longest = 160) {
  const lines = list(entries).map((entry) => cut(text(entry), longest));
  return { lines: lines.slice(0, most), more: Math.max(0, lines.length - most) };
}

export function cut(text, longest = 160) {
  return short(shown(text ?? "").replace(/\s+/g, " ").trim(), longest);
}

/**
 * A graph in the API form with names of files as they stand in their widgets: in what is sent, `%date%` and the like are
 * filled in, another name in each run. `written(id, input)` is what a widget holds.
 */
export function withWrittenNames(output, written) {
  const named = ([id, node]) => {
    const sent = node?.inputs?.filename_prefix;
    const name = typeof sent === "string" ? written(id, "filename_prefix") : null;
    const isFilledIn = typeof name === "string" && name !== sent && name.includes("%");
    return [id, isFilledIn ? { ...node, inputs: { ...node.inputs, filename_prefix: name } } : node];
  };
  return Object.fromEntries(Object.entries(output ?? {}).map(named));
}
