// Pure: the words of a paying node's badge.

const AT_WORK = new Set(["submitting", "accepted", "unassigned", "scheduled", "preparing", "processing", "fetching"]);

/** Whether a job in this phase goes on. */
export function isAtWork(phase) {
  return AT_WORK.has(phase);
}

/** `8 Buzz` when it is paid, `working, 8 Buzz` before, `would cost 8 Buzz` when it was only asked; `""` for nothing. */
export function badgeText(state, { t, number }) {
  if (!state) return "";
  const buzz = (value) => t("badge.buzz", { buzz: number(value) });
  if (Number.isFinite(state.price)) return isAtWork(state.phase) ? t("badge.working", { buzz: buzz(state.price) }) : buzz(state.price);
  return Number.isFinite(state.asked) ? t("badge.asked", { buzz: buzz(state.asked) }) : "";
}
