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
  link_max_gb: "Link",
  link_keep_free_gb: "Link",
  link_allow_pickle: "Link",
  link_max_images: "Link",
  link_max_side: "Link",
};

const CONTROLS = ["choice", "list", "switch", "number", "text"];

/** The control of a setting as the server describes it; `text` for a kind that a newer server has. */
export function controlOf(setting) {
  return CONTROLS.includes(setting?.type) ? setting.type : "text";
}

/** Whether the server asks for the admin token before it does this. */
export function needsAdmin({ status, data }) {
  return status === 401 || (status === 403 && data?.code === "admin_needed");
}
