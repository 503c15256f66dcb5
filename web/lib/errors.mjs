// Pure helpers for errors of our nodes.

/** Whether a frontend says of a failed node only that it "threw an error"; up to 1.35 a dialog shows the sentence. */
export function hidesErrors(version) {
  const match = /^(\d+)\.(\d+)/.exec(String(version ?? ""));
  if (!match) return true;
  const [major, minor] = match.slice(1).map(Number);
  return major > 1 || minor > 35;
}

/** What a toast shows of an `execution_error` event. */
export function toastOf(detail, title) {
  const sentence = String(detail?.exception_message ?? "").trim();
  return sentence ? { severity: "error", summary: title || String(detail.node_type), detail: sentence, life: 15000 } : null;
}

const shown = new Set(); // toasts that may still be there

/** Shows a toast, and remembers it until `clearToasts`. `toasts` is ComfyUI's own, absent in a page that has none. */
export function showToast(toasts, toast) {
  shown.add(toast);
  toasts?.add?.(toast);
}

/** Takes our toasts away: they lie over the place in the settings that they name. */
export function clearToasts(toasts) {
  for (const toast of shown) toasts?.remove?.(toast);
  shown.clear();
}

// What a person can do about an error, by its class: the names of actions that the page has.
const ACTIONS = {
  NoKey: ["account"],
  Unauthorized: ["account"],
  LogInNeeded: ["account"],
  OutOfBuzz: ["buzz", "account"],
  LimitReached: ["limits"],
  TooExpensive: ["limits"],
  DownloadForbidden: ["settings"],
  BadSetting: ["settings"],
  Unreachable: ["account"],
  CloudflareChallenge: ["account"],
  RegionBlocked: ["account"],
  StillRunning: ["account"],
  Unconfirmed: ["account"],
  NotInCatalog: ["models"],
  FileMissing: ["models"],
};

/** The class of an error of ours, like `NoKey`; its event has the module before it. */
export function nameOf(detail) {
  return String(detail?.exception_type ?? "").split(".").pop();
}

/** What can be done about an error of this class, in order; empty where there is nothing to press. */
export function actionsOf(name) {
  return Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : [];
}
