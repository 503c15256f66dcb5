// A badge on each node that pays: what it costs, what it is doing. Nodes 2.0 draws a badge again only when something
// reactive that it read has changed; a counter on our own tab is that. The classic canvas asks for each badge in each
// frame, so what is asked costs nothing.
import { api } from "../../../scripts/api.js";
import { badgeText } from "../lib/badges.js";
import { pays } from "../lib/report.js";
import { nodeAt } from "./graph.js";
import { number, t } from "./i18n.js";
import { readRevision, revise } from "./tab.js";

const states = new WeakMap(); // node → {phase, price, asked}; Buzz
const badges = new WeakMap(); // node → its badge, with the words of its state

/** Give a node that pays its badge. */
export function addBadge(node) {
  if (!window.LGraphBadge || !pays(node?.comfyClass ?? node?.type)) return;
  const none = badgeOf("");
  node.badges ??= [];
  node.badges.push(() => {
    readRevision();
    return badges.get(node) ?? none;
  });
}

function badgeOf(text) {
  return new window.LGraphBadge({ text, fgColor: "#ffffff", bgColor: "#0b6ab0" });
}

function note(node, change) {
  if (!node || !window.LGraphBadge) return;
  const state = { ...states.get(node), ...change };
  states.set(node, state);
  badges.set(node, badgeOf(badgeText(state, { t, number })));
  revise();
  node.setDirtyCanvas?.(true, true);
}

/** Show a price that was asked for on its node. */
export function showPrice(id, buzz) {
  note(nodeAt(id), { asked: buzz, price: null, phase: "" });
}

function ended({ detail }) {
  const node = nodeAt(detail?.node_id ?? detail?.node);
  if (node && states.has(node)) note(node, { phase: "" });
}

/** Listen to what paying nodes tell while they work. */
export function followJobs() {
  api.addEventListener("civitai_bridge.job", ({ detail }) => {
    if (detail?.node) note(nodeAt(detail.node), { phase: String(detail.phase ?? ""), price: detail.price ?? null });
  });
  for (const event of ["executed", "execution_error", "execution_interrupted"]) api.addEventListener(event, ended);
}
