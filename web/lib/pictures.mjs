// Pure: how pictures of strangers are rated.

const SAFE = new Set(["none", "pg", "1"]);

/** Whether a rating is above PG. CivitAI writes words (`PG`, `X`), levels (1 is PG, 0 not rated) and the older `None`,
 * `Soft`; what is not known counts as above. */
export function isAbovePg(rating) {
  return !SAFE.has(String(rating ?? "").trim().toLowerCase());
}
