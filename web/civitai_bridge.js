// The front door of the page: what stands in `frontend/` is put into ComfyUI here, and nowhere else. ComfyUI waits for every
// `.js` file before it shows a graph, so these are few and small; the `.mjs` files come later, when they are asked for.
import { app } from "../../scripts/app.js";
import { addBadge } from "./frontend/badges.js";
import { guardQueue } from "./frontend/queue.js";
import { showReports } from "./frontend/reports.js";
import { guardSavedValues } from "./frontend/saved.js";
import { beginWithEngine, settingsList } from "./frontend/settings.js";
import { registerTab } from "./frontend/tab.js";

const idle = window.requestIdleCallback ?? ((run) => setTimeout(run, 500));
const AGAIN = 5000; // milliseconds until what could not be loaded is tried again

function startTheRest() {
  const failed = (error) => {
    console.warn("Civitai Bridge: a part of the page could not be loaded; it is tried again.", error);
    setTimeout(startTheRest, AGAIN);
  };
  import("./frontend/later.mjs").then(({ start }) => start(), failed);
}

app.registerExtension({
  name: "civitai_bridge",
  settings: settingsList(),
  setup() {
    registerTab();
    guardQueue();
    idle(startTheRest);
  },
  beforeRegisterNodeDef(nodeType, nodeData) {
    showReports(nodeType, nodeData);
    guardSavedValues(nodeType, nodeData);
  },
  nodeCreated(node) {
    addBadge(node);
    beginWithEngine(node);
  },
});
