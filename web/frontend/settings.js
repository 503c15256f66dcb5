// The pack's part of ComfyUI's settings dialog. What the server holds is shown and changed through our own routes and
// never stored by ComfyUI; the looks of this page are ComfyUI's own settings.
import { app } from "../../../scripts/app.js";
import { isOurs } from "../lib/kinds.js";
import { SERVER_SETTINGS } from "../lib/settings.js";

const PACK = "Civitai Bridge";
const AUTO = "auto";
const PAGE = {
  blur: ["civitai_bridge.preview.blur", true],
  pictures: ["civitai_bridge.canvas.pictures", true],
  pasteTo: ["civitai_bridge.canvas.paste_to", "settings"],
  engine: ["civitai_bridge.canvas.engine", AUTO],
};
const OPTIONS = { pasteTo: ["settings", "fleet"], engine: engines };

// ComfyUI asks when its dialog shows them; the node's definition is here by then.
function engines() {
  const input = LiteGraph.registered_node_types.CivitaiBridgeGenerate?.nodeData?.input;
  const [kind, options] = { ...input?.required, ...input?.optional }.engine ?? [];
  const values = Array.isArray(kind) ? kind : options?.options;
  return (values ?? [AUTO]).map((value) => ({ text: value, value }));
}

/** A node that is new begins with the engine of the settings; one of a graph gets what was saved afterwards. */
export function beginWithEngine(node) {
  const engine = pageSetting("engine");
  if (engine === AUTO || !isOurs(node?.comfyClass ?? node?.type)) return;
  const widget = node.widgets?.find((each) => each.name === "engine");
  if (widget?.options?.values?.includes?.(engine)) widget.value = engine;
}

/** A setting of this page alone: `blur`, `pictures`, `pasteTo` (`settings` of samplers here, or `fleet`), `engine`. */
export function pageSetting(name) {
  const [id, standard] = PAGE[name];
  return app.extensionManager?.setting?.get?.(id) ?? standard;
}

/** Open ComfyUI's settings, at ours: no version has a command for that, so the entry in its list is pressed. */
export function openSettings() {
  app.extensionManager?.command?.execute?.("Comfy.ShowSettingsDialog");
  chooseOurs(40);
}

function chooseOurs(tries) {
  const entries = [...document.querySelectorAll("[role=dialog] :is(nav button, nav [role=button], [role=option])")];
  const ours = entries.find((entry) => entry.textContent.trim() === PACK);
  if (ours) ours.click();
  else if (tries > 0) setTimeout(() => chooseOurs(tries - 1), 50);
}

// What every field needs: the words, and none of our toasts, which lie over the place that they name.
async function prepare() {
  const [{ loadWords }, { clearOurs }] = await Promise.all([import("./i18n.mjs"), import("./toasts.mjs")]);
  clearOurs();
  await loadWords();
}

// The dialog waits for no field: what is inside is loaded when it is opened.
function field(load) {
  return () => {
    const box = document.createElement("div");
    Promise.all([load(), prepare()]).then(([fill]) => fill(box), (error) => console.warn("Civitai Bridge:", error));
    return box;
  };
}

const keyField = field(() => import("../views/key_field.mjs").then(({ keyField: fill }) => fill));

function serverField(name) {
  return field(() => import("../views/setting_field.mjs").then(({ settingField: fill }) => (box) => fill(box, name)));
}

// The words are found by the id; without a tooltip here ComfyUI shows none of the language's.
function named(id) {
  return { name: id, tooltip: id };
}

/** ComfyUI's description of all our settings. Their names are in locales/<language>/settings.json, by id. */
export function settingsList() {
  const order = Object.keys(SERVER_SETTINGS).length;
  return [
    { id: "civitai_bridge.key", ...named("civitai_bridge.key"), category: [PACK, "Account", "key"], sortOrder: 100, defaultValue: null, type: keyField },
    ...Object.entries(SERVER_SETTINGS).map(([name, section], place) => ({
      id: `civitai_bridge.${name}`,
      ...named(`civitai_bridge.${name}`),
      category: [PACK, section, name],
      sortOrder: order - place,
      defaultValue: null,
      type: serverField(name), // never calls the setter, so that ComfyUI stores nothing
    })),
    ...Object.entries(PAGE).map(([name, [id, standard]]) => ({
      id, ...named(id), category: [PACK, "Page", name], defaultValue: standard,
      ...(OPTIONS[name] ? { type: "combo", options: OPTIONS[name] } : { type: "boolean" }),
    })),
  ];
}
