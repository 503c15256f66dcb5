// Pure: how CivitAI Link stands, as the page shows it.

function text(value) {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

function list(value) {
  return Array.isArray(value) ? value : [];
}

/** A pairing code as a person may have copied it; `""` where it cannot be one. */
export function codeOf(entered) {
  const code = String(entered ?? "").trim();
  return /^[\w-]{4,40}$/.test(code) ? code : "";
}

/** `{isPaired, sentence, state, questions, activities, trash}`. */
export function linkOf(answer) {
  return {
    isPaired: answer?.paired === true || answer?.waiting_for_page === true,
    sentence: text(answer?.sentence),
    state: text(answer?.state),
    questions: list(answer?.questions).filter((each) => Number.isInteger(each?.number)).map(({ number, sentence }) => ({ number, sentence: text(sentence) })),
    activities: list(answer?.activities).map(activityOf),
    trash: Number(answer?.trash) || 0,
  };
}

function activityOf(job) {
  const share = Number(job?.progress);
  return { id: text(job?.id), type: text(job?.type), status: text(job?.status), share: share > 0 && share <= 100 ? Math.round(share) : null };
}

/** Lines of the log, the newest first. */
export function linesOfLog(answer) {
  return list(answer?.lines).map((line) => ({
    at: Number(line?.at) > 0 ? new Date(Number(line.at) * 1000) : null,
    text: [text(line?.type), text(line?.subject), text(line?.outcome), text(line?.detail)].filter(Boolean).join(" · "),
  })).reverse();
}
