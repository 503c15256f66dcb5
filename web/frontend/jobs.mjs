// What paying nodes cost and are doing, on their badges.
import { api } from "../../../scripts/api.js";
import { badgeText } from "../lib/badges.mjs";
import { setBadgeText } from "./badges.js";
import { nodeAt } from "./graph.mjs";
import { number, t } from "./i18n.mjs";

const states = new WeakMap(); // node → {phase, price, asked}; Buzz

function note(node, change) {
  if (!node) return;
  const state = { ...states.get(node), ...change };
  states.set(node, state);
  setBadgeText(node, badgeText(state, { t, number }));
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
