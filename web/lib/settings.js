// Pure: the server's settings that the page shows, each with the section it stands in, in their order.

export const SERVER_SETTINGS = {
  limit_buzz_per_prompt: "Money",
  limit_buzz_per_day: "Money",
  currencies: "Money",
  parallel_jobs: "Money",
  mature_content: "Content",
  graph_downloads: "Downloads",
  max_download_gb: "Downloads",
  allow_pickle: "Downloads",
  lora_family_mismatch: "Downloads",
  sidecars: "Downloads",
  newer_versions: "Downloads",
  catalog_folder: "Downloads",
  proxy: "Network",
  page_session: "Network",
  link_generate: "Link",
  link_downloads: "Link",
  link_removals: "Link",
};

/** The control of a setting of the server: `choice`, `choices`, `switch`, `number` or `text`. */
export function controlOf({ value, default: standard, choices } = {}) {
  const shape = standard ?? value;
  if (Array.isArray(shape)) return "choices";
  if (Array.isArray(choices) && choices.length) return "choice";
  return { boolean: "switch", number: "number" }[typeof shape] ?? "text";
}
