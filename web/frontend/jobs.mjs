// What paying nodes cost and are doing, on their badges.
import { api } from "../../../scripts/api.js";
import { badgeText, isAtWork } from "../lib/badges.mjs";
import { setBadgeText } from "./badges.js";
import { nodeAt } from "./graph.mjs";
import { loadWords, number, t } from "./i18n.mjs";
import { openTab } from "./tab.js";

const states = new WeakMap(); // node → {phase, price, asked}; Buzz
const working = new Set(); // nodes whose job goes on, as far as this page was told

function note(node, change) {
  if (!node) return;
  const state = { ...states.get(node), ...change };
  states.set(node, state);
  working[isAtWork(state.phase) ? "add" : "delete"](node);
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

// What was told while the connection was away is lost: a node may have ended, and a server that was started again has
// nothing at work. What was paid is looked after there.
async function returned() {
  if (!working.size) return;
  const queue = await api.fetchApi("/queue", { cache: "no-store" }).then((answer) => answer.json()).catch(() => null);
  if (!Array.isArray(queue?.queue_running) || queue.queue_running.length) return;
  for (const node of [...working]) note(node, { phase: "" });
  const [{ offer }] = await Promise.all([import("./toasts.mjs"), loadWords()]);
  offer(t("title"), t("badge.lost"), [{ label: t("errors.account"), run: () => openTab("account") }]);
}

/** Listen to what paying nodes tell while they work. */
export function followJobs() {
  api.addEventListener("civitai_bridge.job", ({ detail }) => {
    if (detail?.node) note(nodeAt(detail.node), { phase: String(detail.phase ?? ""), price: detail.price ?? null });
  });
  api.addEventListener("reconnected", returned);
  for (const event of ["executed", "execution_error", "execution_interrupted"]) api.addEventListener(event, ended);
}
