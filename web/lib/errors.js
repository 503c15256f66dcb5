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
