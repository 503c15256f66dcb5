// Pure: what is said of an answer that is none, and whether it may be asked again by itself.
import { short, text } from "./values.mjs";

const PASSING = new Set([0, 429, 502, 503, 504]);
const [SOON, LATER, LEAST] = [8, 30, 5]; // seconds: for this server, for what stands behind or before it, at the least
const LONGEST = 600; // letters of a sentence from elsewhere
const SILENCE = { slow: "common.slow", foreign: "common.foreign" };

/** The sentence of an answer that is not 200, as `openSession` gives it. */
export function troubleText({ status, data, why }, t) {
  if (status === 0) return t(SILENCE[why] ?? "common.no_server");
  return short(text(data?.error), LONGEST) || t("common.no_words", { status });
}

/**
 * Seconds after which it may be asked again by itself, where what stands in the way passes; null where it does not. A
 * Retry-After holds.
 */
export function secondsUntilNext({ status, after }) {
  if (!PASSING.has(status)) return null;
  return Number.isFinite(after) ? Math.max(after, LEAST) : status === 0 ? SOON : LATER;
}
