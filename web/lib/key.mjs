// Pure helpers of the field for the API key: asking the server, and what is said of its answers. A key passes through and
// stays nowhere; the admin token stays in the page's memory alone.
import { troubleText } from "./trouble.mjs";

const KEY_PATH = "/civitai_bridge/key";
const SOURCES = ["none", "file", "environment", "sandbox"];
const CHANGES = ["saved", "deleted"];

/** The server's answers about the key, through a session as `openSession` gives it. */
export function keyRoutes(server) {
  return {
    state: () => server.get(KEY_PATH),
    save: (key) => server.post(KEY_PATH, { key }),
    forget: () => server.post(KEY_PATH, { key: "" }),
    useToken: (text) => server.useToken(text),
  };
}

/**
 * What the field shows of an answer: a sentence, whether it tells of trouble, whether the admin token is asked for, and
 * whether there may be something to forget or to enter.
 */
export function viewOf({ status, data, wrongToken, why }, t) {
  const asked = { sentence: "", trouble: true, needsToken: false, canSave: false, canForget: false };
  if (status === 401) return { ...asked, needsToken: true, sentence: tokenSentence(data, wrongToken, t) };
  if (status !== 200 || !SOURCES.includes(data.source)) {
    return { ...asked, sentence: troubleText({ status, data, why }, t), canSave: status !== 404 && status !== 0 };
  }
  const change = CHANGES.includes(data.status) ? `${t(`key.${data.status}`)} ` : "";
  const changes = data.source !== "sandbox";
  return {
    ...asked,
    sentence: change + t(`key.source.${data.source}`),
    trouble: false,
    canSave: changes,
    canForget: changes && data.source !== "none",
  };
}

/** Asks for the admin token and says which command prints it; a damaged one is told of as the server tells it. */
export function tokenSentence(data, wrongToken, t) {
  if (data?.code === "admin_needed" && !wrongToken) return t("settings.admin_needed", { command: data.command });
  if (!data?.command) return String(data?.error ?? t("key.token_asked"));
  return t(wrongToken ? "key.token_wrong" : "key.token_needed", { command: data.command });
}

/** The key of a warning where what is entered would cross a network for all to read; `""` on this machine and over https. */
export function warningOf(isSecureContext) {
  return isSecureContext ? "" : "key.plain_http";
}
