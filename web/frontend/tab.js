// The tab in ComfyUI's sidebar. What it shows is loaded when it is opened for the first time.
import { app } from "../../../scripts/app.js";

const ID = "civitai_bridge";
const PLAIN = "padding:16px;font-size:13px;color:var(--descrip-text,#999);";

let panel = null; // the module of the views, once it was asked for
let wanted = null; // the view that code opened the tab for

function manager() {
  return app.extensionManager;
}

/** The text of a key, where a part of the page could not be loaded; the words may be what is missing. */
export async function notLoaded(key) {
  const { t } = await import("./i18n.mjs").catch(() => ({}));
  return t?.(key) ?? "A part of this page could not be loaded, so nothing was done. Reload the page when the server runs.";
}

async function fill(element) {
  try {
    const words = import("./i18n.mjs").then(({ loadWords }) => loadWords());
    [panel] = await Promise.all([import("../views/panel.mjs"), words]);
    panel.mount(element, wanted);
    wanted = null;
  } catch (error) {
    console.warn("Civitai Bridge: the tab could not be loaded.", error);
    const note = document.createElement("div");
    note.style.cssText = PLAIN;
    note.textContent = await notLoaded("panel.not_loaded");
    element.replaceChildren(note);
  }
}

/** Put the tab into the sidebar. */
export function registerTab() {
  const sidebar = manager()?.sidebarTab;
  const place = sidebar?.registerSidebarTab ? sidebar : manager();
  place?.registerSidebarTab?.({
    id: ID,
    title: "civitai_bridge.title",
    label: "civitai_bridge.title",
    tooltip: "civitai_bridge.tooltip",
    icon: "pi pi-images",
    iconBadge: null,
    revision: 0,
    type: "custom",
    render(element) {
      element.style.height = "100%"; // else it has the height of what is inside, which is none
      element.style.overflow = "hidden";
      fill(element);
    },
    destroy() {
      panel?.unmount(); // not called where another tab takes its place; the views look at `isConnected` too
    },
  });
}

/** Whether the tab is the open one. */
export function isOpen() {
  return manager()?.sidebarTab?.activeSidebarTabId === ID;
}

/** Open the tab at a view, `models` or `account`. */
export function openTab(view) {
  wanted = view;
  if (isOpen()) panel?.show(view);
  else manager()?.command?.execute?.(`Workspace.ToggleSidebarTab.${ID}`);
}

let own = null; // ComfyUI's reactive copy of our tab; asked for once, for badges read it in each frame

function ownTab() {
  own ??= manager()?.getSidebarTabs?.().find((each) => each.id === ID) ?? null;
  return own;
}

/** Read the counter that `revise` raises; what reads it inside of ComfyUI's own drawing is drawn again then. */
export function readRevision() {
  return ownTab()?.revision ?? 0;
}

/** Have drawn again what read the counter. */
export function revise() {
  const tab = ownTab();
  if (tab) tab.revision = (tab.revision ?? 0) + 1;
}

/** The number on the tab's icon; none for 0. */
export function setBadge(count) {
  const tab = ownTab();
  const text = count > 0 ? String(count) : null;
  if (tab && tab.iconBadge !== text) tab.iconBadge = text;
}
