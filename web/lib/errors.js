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
