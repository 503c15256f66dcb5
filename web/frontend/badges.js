// A badge on each node that pays. Nodes 2.0 draws a badge again only when something reactive that it read has changed; a
// counter on our own tab is that. The classic canvas asks for each badge in each frame, so what is asked costs nothing.
import { pays } from "../lib/kinds.js";
import { readRevision, revise } from "./tab.js";

const badges = new WeakMap(); // node → its badge
let none = null;

function badgeOf(text) {
  return new window.LGraphBadge({ text, fgColor: "#ffffff", bgColor: "#0b6ab0" });
}

/** Give a node that pays its badge; it has no words until `setBadgeText`. */
export function addBadge(node) {
  if (!window.LGraphBadge || !pays(node?.comfyClass ?? node?.type)) return;
  none ??= badgeOf("");
  node.badges ??= [];
  node.badges.push(() => {
    readRevision();
    return badges.get(node) ?? none;
  });
}

/** The words of a node's badge. */
export function setBadgeText(node, text) {
  if (!window.LGraphBadge) return;
  badges.set(node, badgeOf(text));
  revise();
  node.setDirtyCanvas?.(true, true);
}
