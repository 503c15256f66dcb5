// Pure: which nodes stand for something that was pasted, where, and how they are wired.
import { list } from "./values.mjs";

const READERS = {
  image: (reading) => ["CivitaiBridgeImageData", { reference: reading.reference }],
  model: (reading) => ["CivitaiBridgeResolve", { reference: reading.reference }],
  text: (reading) => ["CivitaiBridgeReadText", { text: reading.text }],
  picture: (reading) => ["CivitaiBridgeReadImage", { image: reading.name }],
};
const BESIDE = 420; // units of the canvas between two columns

/**
 * `{nodes, links}` for `addNodes`. The server may say which nodes, as `{nodes: [{id, type, pos, widgets, title}],
 * links: [[from, output, to, input]]}`; else the one that reads and the one that gives its settings to a sampler.
 */
export function planOf(reading, answer) {
  const given = answer?.nodes ? planFrom(answer) : null;
  if (given) return given;
  const [type, widgets] = READERS[reading.kind](reading);
  if (reading.kind === "model") return { nodes: [{ type, at: [0, 0], widgets }], links: [] };
  return {
    nodes: [
      { type, at: [0, 0], widgets },
      { type: "CivitaiBridgeGenerationSettings", at: [BESIDE, 0], widgets: {} },
    ],
    links: [{ from: 0, output: "generation", to: 1, input: "generation" }],
  };
}

/** The server's plan; null for one that is none, so that nothing half is put on the canvas. */
export function planFrom({ nodes, links }) {
  if (!Array.isArray(nodes) || !nodes.length || nodes.length > 60) return null;
  const ids = new Map(nodes.map((node, place) => [String(node?.id ?? place), place]));
  const isNode = (node) => typeof node?.type === "string";
  if (!nodes.every(isNode)) return null;
  const wires = list(links).filter(Array.isArray).map(([from, output, to, input]) => ({
    from: ids.get(String(from)), output: String(output), to: ids.get(String(to)), input: String(input),
  }));
  if (wires.some(({ from, to }) => from === undefined || to === undefined)) return null;
  const at = (node, place) => (Array.isArray(node.pos) && node.pos.every(Number.isFinite) ? node.pos.slice(0, 2) : [place * BESIDE, 0]);
  return {
    nodes: nodes.map((node, place) => ({ type: node.type, at: at(node, place), widgets: { ...(node.widgets ?? node.inputs) }, title: node.title })),
    links: wires,
  };
}
