// Commands, for menus, the toolbox over a selection and keys. They are registered when the words for them are here.
import { app } from "../../../scripts/app.js";
import { currentPrompt, middle } from "./graph.mjs";
import { loadWords, t } from "./i18n.mjs";
import { openTab } from "./tab.js";
import { pays } from "../lib/kinds.js";
import { readingOf } from "../lib/paste.mjs";

const MODELS = "civitai_bridge.models";
const ACCOUNT = "civitai_bridge.account";
const PRICE = "civitai_bridge.price";
const PASTE = "civitai_bridge.paste";

/** Show what the paying nodes of the graph would cost. */
async function showPrices(node) {
  const { showPrices: show } = await import("../views/price_dialog.mjs");
  await show(await currentPrompt(), node?.id);
}

// What the menu of a node that pays has besides.
function nodeMenuItems(node) {
  return pays(node?.comfyClass ?? node?.type) ? [{ content: t("commands.price"), callback: () => showPrices(node) }] : [];
}

/** Make the nodes for what is on the clipboard. */
async function pasteReading() {
  const reading = readingOf(await navigator.clipboard.readText().catch(() => ""));
  const { say } = await import("./toasts.mjs");
  if (!reading) return say("info", t("title"), t("paste.nothing"), 6000);
  const { addReading } = await import("./pasted.mjs");
  return addReading(reading, middle());
}

/** Put the commands into ComfyUI, once their words are here: it translates none of their labels. */
export async function registerCommands() {
  await loadWords();
  app.registerExtension({
    name: "civitai_bridge.commands",
    commands: [
      { id: MODELS, label: t("commands.models"), icon: "pi pi-images", function: () => openTab("models") },
      { id: ACCOUNT, label: t("commands.account"), icon: "pi pi-user", function: () => openTab("account") },
      { id: PRICE, label: t("commands.price"), icon: "pi pi-tag", function: () => showPrices() },
      { id: PASTE, label: t("commands.paste"), icon: "pi pi-clipboard", function: pasteReading },
    ],
    menuCommands: [{ path: ["Civitai"], commands: [MODELS, ACCOUNT, PRICE, PASTE] }],
    getNodeMenuItems: nodeMenuItems,
    getSelectionToolboxCommands: (item) => (pays(item?.type ?? item?.comfyClass) ? [PRICE] : []),
  });
}
