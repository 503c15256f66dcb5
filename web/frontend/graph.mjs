// The graph on the canvas: what it would send, nodes of ours put into it, words put into its prompts.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { isOurs } from "../lib/kinds.js";

const PATIENCE = 120_000; // milliseconds for a picture on its way into the input folder
const GAP = 60; // between two new nodes
const SETTLES = 600; // milliseconds until Nodes 2.0 has laid new nodes out, which an undo step is to hold

/** What a run would send, as `{output, workflow}`. */
export async function currentPrompt() {
  const { output, workflow } = await app.graphToPrompt();
  return { output, workflow };
}

const loaded = new Set();
let isTold = false;

/** Calls back after the graph was changed, or another one was opened; gives a function that ends it. */
export function onGraph(callback) {
  // ComfyUI has no event for another graph, but calls its extensions.
  if (!isTold) app.registerExtension({ name: "civitai_bridge.graph", afterConfigureGraph: () => loaded.forEach((each) => each()) });
  isTold = true;
  loaded.add(callback);
  api.addEventListener("graphChanged", callback);
  return () => {
    loaded.delete(callback);
    api.removeEventListener("graphChanged", callback);
  };
}

/** One step for undo, for what was done to the graph until now. */
export function noteStep() {
  const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
  const capture = tracker?.captureCanvasState ?? tracker?.checkState;
  capture?.call(tracker);
}

/**
 * Put nodes on the canvas and wire them. `nodes` are `{type, at: [x, y], widgets}`, `links` are
 * `{from, output, to, input}` with places in `nodes` and names of sockets. Gives the nodes; null where a type is unknown.
 */
export function addNodes({ nodes, links }, [left, top]) {
  const graph = app.canvas?.graph ?? app.graph;
  const missing = nodes.some(({ type }) => !LiteGraph.registered_node_types[type]);
  if (missing) return null;
  noteStep(); // what was done before is a step of its own
  const made = nodes.map(({ type, at, widgets = {}, title }) => {
    const node = LiteGraph.createNode(type);
    node.pos = [left + at[0], top + at[1]];
    if (title) node.title = title;
    graph.add(node);
    if (isOurs(type)) setWidget(node, "engine", "auto"); // what was read names a model, and the model its engine
    for (const [name, value] of Object.entries(widgets)) setWidget(node, name, value);
    return node;
  });
  spread(made);
  for (const { from, output, to, input } of links) connect(made[from], output, made[to], input);
  app.canvas?.deselectAll?.();
  app.canvas?.selectItems?.(made);
  graph.setDirtyCanvas(true, true);
  setTimeout(noteStep, SETTLES);
  return made;
}

// Side by side as they are wide, which only the canvas knows.
function spread(nodes) {
  let edge = -Infinity;
  for (const node of [...nodes].sort((one, other) => one.pos[0] - other.pos[0])) {
    node.pos[0] = Math.max(node.pos[0], edge);
    edge = node.pos[0] + node.size[0] + GAP;
  }
}

function widgetOf(node, name) {
  return node?.widgets?.find((each) => each.name === name);
}

function setWidget(node, name, value) {
  const widget = widgetOf(node, name);
  if (!widget) return;
  const values = widget.options?.values;
  if (Array.isArray(values) && !values.includes(value)) values.push(value); // a picture that was just uploaded
  widget.value = value;
  widget.callback?.(value);
}

function connect(source, output, target, input) {
  const slot = source.outputs?.findIndex((each) => each.name === output) ?? -1;
  const place = target.inputs?.findIndex((each) => each.name === input) ?? -1;
  if (slot >= 0 && place >= 0) source.connect(slot, target, place);
}

/** The node of an id as runs have it (`12:5` is node 5 in the subgraph 12); the outermost one that is found. */
export function nodeOf(id) {
  const first = String(id ?? "").split(":")[0];
  const graph = app.rootGraph ?? app.graph;
  return graph?.getNodeById?.(first) ?? graph?.getNodeById?.(Number(first)) ?? null;
}

/** The very node of an id as runs have it, inside of its subgraphs; null where it is gone. */
export function nodeAt(id) {
  let graph = app.rootGraph ?? app.graph;
  let node = null;
  for (const part of String(id ?? "").split(":")) {
    node = graph?.getNodeById?.(part) ?? graph?.getNodeById?.(Number(part)) ?? null;
    graph = node?.subgraph;
  }
  return node;
}

/** What a widget of a node holds, by the id that runs have; undefined where there is none. */
export function widgetValue(id, name) {
  return widgetOf(nodeAt(id), name)?.value;
}

/** Select a node and move the canvas to it; false where it is gone. */
export function showNode(id) {
  const node = nodeOf(id);
  if (!node) return false;
  app.canvas?.deselectAll?.();
  app.canvas?.selectNode?.(node);
  app.canvas?.centerOnNode?.(node);
  return true;
}

/** Set an input of a node as a person does; false where there is none. */
export function setInput(id, name, value) {
  const node = nodeOf(id);
  if (!widgetOf(node, name)) return false;
  noteStep();
  setWidget(node, name, value);
  node.setDirtyCanvas?.(true, true);
  noteStep();
  return true;
}

const PROMPTS = ["prompt", "text", "positive", "positive_prompt", "clip_l", "t5xxl"];

function promptOf(node) {
  if (node?.isVirtualNode) return null; // a note is no prompt, whatever its widget is called
  const isWired = ({ name }) => node.inputs?.some((input) => input.widget?.name === name && input.link != null); // what stands there is not sent
  const texts = (node?.widgets ?? []).filter((widget) => typeof widget.value === "string" && PROMPTS.includes(widget.name) && !isWired(widget));
  return PROMPTS.map((name) => texts.find((widget) => widget.name === name)).find(Boolean) ?? null;
}

/**
 * Add words to the prompt of the selected node, or to the only prompt of the graph. Gives the node that has them; null
 * where it is not clear which prompt is meant.
 */
export function addToPrompt(words) {
  const selected = Object.values(app.canvas?.selected_nodes ?? {}).filter(promptOf);
  const all = (app.canvas?.graph ?? app.graph)?._nodes?.filter(promptOf) ?? [];
  const node = selected[0] ?? (all.length === 1 ? all[0] : null);
  if (!node) return null;
  const widget = promptOf(node);
  const present = widget.value.split(",").map((part) => part.trim().toLowerCase());
  if (!present.includes(words.trim().toLowerCase())) {
    noteStep();
    const text = widget.value.trimEnd().replace(/,$/, "");
    widget.value = text ? `${text}, ${words}` : words;
    widget.callback?.(widget.value);
    node.setDirtyCanvas?.(true, true);
    noteStep();
  }
  return node;
}

/** Whether a selected node takes a picture that is pasted, as Load Image does. */
export function takesPicture() {
  const selected = Object.values(app.canvas?.selected_nodes ?? {});
  return selected.some((node) => typeof (node.pasteFiles ?? node.pasteFile) === "function");
}

/** Where the mouse is, or the middle of what is seen, in the canvas' own units. */
export function mousePlace() {
  const [x, y] = app.canvas?.graph_mouse ?? [0, 0];
  return [x, y];
}

/** A place in the window, in pixels, in the canvas' own units. */
export function canvasPlace(x, y) {
  return app.clientPosToCanvasPos?.([x, y]) ?? app.canvas.convertEventToCanvasOffset({ clientX: x, clientY: y });
}

/** The middle of what is seen of the canvas, in its own units. */
export function middle() {
  const box = app.canvas.canvas.getBoundingClientRect();
  return canvasPlace(box.left + box.width / 2 - 150, box.top + box.height / 3);
}

/** Put a file into ComfyUI's input folder; gives its name for a picture widget. Throws `HTTP …` where the server says no. */
export async function upload(file) {
  const form = new FormData();
  form.append("image", file, file.name || "picture.png");
  const answer = await api.fetchApi("/upload/image", { method: "POST", body: form, signal: AbortSignal.timeout(PATIENCE) });
  if (answer.status !== 200) throw new Error(`HTTP ${answer.status}`);
  const { name, subfolder } = await answer.json();
  return subfolder ? `${subfolder}/${name}` : name;
}
