// Pure: how CivitAI Link stands, as the page shows it.
import { list, text } from "./values.mjs";

/** A pairing code as a person may have copied it; `""` where it cannot be one. */
export function codeOf(entered) {
  const code = String(entered ?? "").trim();
  return /^[\w-]{4,40}$/.test(code) ? code : "";
}

const STATES = new Set(["unpaired", "waiting", "elsewhere", "connecting", "joined", "refused"]);

/** How the link stands, in the page's language; the server's own sentence where the page has no words for it. What it
 * says besides is `detailOf`. */
export function stateWords(answer, t) {
  const state = text(answer?.state);
  if (!STATES.has(state)) return text(answer?.sentence);
  const count = Number(answer?.browsers) || 0;
  const name = state !== "joined" ? state : answer?.is_pairing === true ? "pairing" : count === 0 ? "joined_none" : "joined";
  return t(`link.state.${name}`, { count });
}

/** What the server says besides of how the link stands; `""` where that is all. */
export function detailOf(answer) {
  return STATES.has(text(answer?.state)) ? text(answer?.detail) : "";
}

/** A word of the wire (`resources:add`, `success`) in the page's language, where it has one. */
export function wireWord(kind, word, t) {
  const key = `link.${kind}.${word.replaceAll(":", "_").toLowerCase()}`;
  const own = t(key);
  return own === key ? word : own;
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

/** Lines of the log as `{at, type, subject, outcome, detail}`, the newest first. */
export function linesOfLog(answer) {
  return list(answer?.lines).map((line) => ({
    at: Number(line?.at) > 0 ? new Date(Number(line.at) * 1000) : null,
    type: text(line?.type),
    subject: text(line?.subject),
    outcome: text(line?.outcome),
    detail: text(line?.detail),
  })).reverse();
}
