// The front door of the page: what stands in `frontend/` is put into ComfyUI here, and nowhere else. What the tab and the
// dialogs show is loaded when it is first asked for.
import { app } from "../../scripts/app.js";
import { addBadge, followJobs } from "./frontend/badges.js";
import { guardPaste } from "./frontend/paste.js";
import { listen } from "./frontend/progress.js";
import { guardQueue } from "./frontend/queue.js";
import { showErrors, showReports } from "./frontend/reports.js";
import { guardSavedValues } from "./frontend/saved.js";
import { settingsList } from "./frontend/settings.js";
import { registerTab } from "./frontend/tab.js";

const idle = window.requestIdleCallback ?? ((run) => setTimeout(run, 500));

app.registerExtension({
  name: "civitai_bridge.report",
  setup: showErrors,
  beforeRegisterNodeDef(nodeType, nodeData) {
    showReports(nodeType, nodeData);
    guardSavedValues(nodeType, nodeData);
  },
  nodeCreated: addBadge,
});

app.registerExtension({
  name: "civitai_bridge.panel",
  settings: settingsList(),
  setup() {
    registerTab();
    guardQueue();
    guardPaste();
    listen();
    followJobs();
    idle(() => import("./frontend/commands.mjs").then(({ registerCommands }) => registerCommands()));
  },
});
