// Pure: the server's answer about the account as the page shows it; whatever is not there is left out.

function text(value) {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

function whole(value) {
  return Number.isFinite(value) ? value : null;
}

/** `{user, wallets, spent, perDay, perPrompt, waiting, doctor, sandbox}`; Buzz, null where it is not known. */
export function accountOf(answer) {
  const limits = answer?.limits ?? {};
  return {
    user: text(answer?.user?.username) || text(answer?.user?.name) || text(answer?.user),
    wallets: walletsOf(answer?.wallet),
    spent: whole(answer?.spent_today) ?? 0,
    perDay: whole(limits.per_day ?? limits.limit_buzz_per_day),
    perPrompt: whole(limits.per_prompt ?? limits.limit_buzz_per_prompt),
    waiting: (Array.isArray(answer?.waiting) ? answer.waiting : []).map(waitingOf),
    doctor: (Array.isArray(answer?.doctor) ? answer.doctor : []).map(checkOf),
    sandbox: answer?.sandbox === true,
  };
}

function walletsOf(wallet) {
  if (Array.isArray(wallet)) {
    return wallet.map((each) => ({ name: text(each.name) || text(each.type), buzz: whole(each.buzz ?? each.balance) })).filter(({ buzz }) => buzz !== null);
  }
  if (typeof wallet !== "object" || wallet === null) return [];
  return Object.entries(wallet).map(([name, buzz]) => ({ name, buzz: whole(buzz) })).filter(({ buzz }) => buzz !== null);
}

function waitingOf(row) {
  const cost = whole(row?.cost);
  const parts = [text(row?.when) || text(row?.created), text(row?.model) || text(row?.workflow_id) || text(row?.key), cost === null ? "" : `${cost} Buzz`, text(row?.state) || text(row?.status)];
  return { key: text(row?.key), text: parts.filter(Boolean).join(" · ") };
}

function checkOf(check) {
  const isWell = check?.ok === true || check?.well === true || check?.status === "ok";
  const remedy = text(check?.remedy);
  const words = text(check?.text) || text(check?.detail) || text(check?.sentence) || text(check?.finding);
  return { name: text(check?.name) || text(check?.check), isWell, text: [words, remedy].filter(Boolean).join(" ") };
}
