// Pure helpers of saved graphs. The page imports every .js file, so nothing here has an effect by itself.

/** Where a saved node says which of its later widgets its values have. */
export const MARK = "civitai_bridge_widgets";

// Widgets that came after the first release, with the value that stands for "not said".
const LATER = {
  CivitaiBridgeGenerate: { tags: "" },
  CivitaiBridgeEstimate: { tags: "" },
};

/** The widgets of a node type that came later, by name, with their defaults; null where it has none. */
export function laterWidgets(kind) {
  return LATER[kind] ?? null;
}

/** Which of the later widgets a saved node's values cannot have: it was saved before there were such. */
export function notSaved(later, properties) {
  const saved = properties?.[MARK];
  const names = Array.isArray(saved) ? saved : [];
  return Object.keys(later).filter((name) => !names.includes(name));
}
