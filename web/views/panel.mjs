// The tab's frame: two views, of which one is shown, and the line that screen readers hear.
import { onLanguage, t } from "../frontend/i18n.mjs";
import { loadSentences } from "../frontend/sentences.mjs";
import { short } from "../lib/values.mjs";
import { AccountView } from "./account.mjs";
import { h } from "./make.mjs";
import { ModelsView } from "./models.mjs";
import { dress } from "./style.mjs";

const VIEWS = { models: ModelsView, account: AccountView };
let open = null; // the frame that is in the page: {panel, views, live}
let current = "models"; // outlives the element, which is new at each opening

/** Fill the sidebar's element. */
export function mount(element, wanted) {
  unmount();
  dress();
  if (wanted in VIEWS) current = wanted;
  const live = h("div", { class: "cb-live", role: "status", "aria-live": "polite" });
  const say = (text) => (live.textContent = short(text, 300));
  const views = {};
  for (const [name, View] of Object.entries(VIEWS)) views[name] = new View(say);
  const tabs = Object.keys(VIEWS).map((name) =>
    h("button", { type: "button", class: "cb-tab", role: "tab", id: `cb-tab-${name}`, "aria-controls": `cb-view-${name}`, "data-view": name, onclick: () => show(name) }, t(`panel.${name}`)),
  );
  const bar = h("div", { class: "cb-tabs", role: "tablist", "aria-label": t("title"), onkeydown: moved }, ...tabs);
  for (const [name, view] of Object.entries(views)) {
    view.element.id = `cb-view-${name}`;
    view.element.setAttribute("role", "tabpanel");
    view.element.setAttribute("aria-labelledby", `cb-tab-${name}`);
  }
  const panel = h("div", { class: "cb-panel" }, h("div", { class: "cb-title" }, t("title")), bar, ...Object.values(views).map((view) => view.element), live);
  open = { panel, views, tabs, element };
  element.replaceChildren(panel);
  show(current, false);
}

/** Stop what the views do; their elements are gone or will be. */
export function unmount() {
  if (open) for (const view of Object.values(open.views)) view.stop();
  open = null;
}

/** Show a view of the open tab. */
export function show(name, focus = false) {
  if (!open || !(name in VIEWS)) return;
  current = name;
  for (const tab of open.tabs) {
    const isShown = tab.dataset.view === name;
    tab.setAttribute("aria-selected", String(isShown));
    tab.tabIndex = isShown ? 0 : -1;
    if (isShown && focus) tab.focus();
  }
  for (const [key, view] of Object.entries(open.views)) {
    view.element.hidden = key !== name;
    if (key === name) view.start();
    else view.pause();
  }
}

function moved(event) {
  const names = Object.keys(VIEWS);
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.stopPropagation();
  show(names[(names.indexOf(current) + step + names.length) % names.length], true);
}

onLanguage(async () => {
  await loadSentences();
  if (open?.panel.isConnected) mount(open.element);
});
