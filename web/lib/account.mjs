// Pure: the server's answer about the account as the page shows it; whatever is not there is left out.
import { list, text } from "./values.mjs";

function whole(value) {
  return Number.isFinite(value) ? value : null;
}

/** `{user, note, wallets, spent, left, perDay, perPrompt, waiting, waitingCount, findings, sandbox}`; Buzz, null where
 * it is not known. */
export function accountOf(answer) {
  const wallet = typeof answer?.wallet === "object" && answer.wallet !== null ? answer.wallet : {};
  const waiting = list(answer?.waiting).map(waitingOf);
  return {
    user: text(answer?.user?.name),
    notes: [...new Set([text(answer?.user_note), text(answer?.wallet_note)].filter(Boolean))], // one reason is said once
    wallets: Object.entries(wallet).map(([name, buzz]) => ({ name, buzz: whole(buzz) })).filter(({ buzz }) => buzz !== null),
    spent: whole(answer?.spent_24_hours) ?? 0,
    today: whole(answer?.spent_today),
    month: whole(answer?.spent_month),
    perDay: whole(answer?.limits?.per_day),
    perPrompt: whole(answer?.limits?.per_prompt),
    waiting,
    waitingCount: whole(answer?.waiting_count) ?? waiting.length,
    findings: list(answer?.doctor).map(findingOf),
    sandbox: answer?.sandbox === true,
  };
}

function waitingOf(row) {
  const created = Number(row?.created);
  return {
    key: text(row?.key),
    name: text(row?.model) || text(row?.engine) || text(row?.workflow_id) || text(row?.key),
    workflow: text(row?.workflow_id),
    state: text(row?.state),
    created: created > 0 ? new Date(created * 1000) : null,
    cost: whole(row?.cost),
    prompt: text(row?.prompt),
    pictures: whole(row?.pictures) ?? 1,
    error: text(row?.error),
  };
}

/** A finding of the doctor as `{topic, state, isWell, lines}`; a warning is no trouble. */
export function findingOf(finding) {
  const lines = [text(finding?.sentence), text(finding?.remedy)].filter(Boolean);
  return { topic: text(finding?.topic), state: text(finding?.state), isWell: finding?.state !== "trouble", lines };
}
