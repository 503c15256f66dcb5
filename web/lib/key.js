// Pure helpers of the field for the API key: asking the server, and what is said of its answers. A key passes through and
// stays nowhere; the admin token stays in the page's memory alone.

export const SETTING = "civitai_bridge.key";
const SESSION = "X-Civitai-Bridge-Session";
const KEY_PATH = "/civitai_bridge/key";
const SESSION_PATH = "/civitai_bridge/session";

const OF_A_SOURCE = {
  none: "No key is set: nothing can be bought.",
  file: "A key is stored on the server. It is never shown again; another one takes its place.",
  environment:
    "The server's environment has a key (CIVITAI_API_TOKEN or CIVITAI_API_KEY), and that is used. One that is stored here " +
    "waits until the environment's is gone.",
  sandbox: "This server runs on the sandbox, which needs no key.",
};
const OF_A_CHANGE = { saved: "Saved. ", deleted: "Forgotten. " };

/**
 * The server's answers about the key, each as `{status, data, wrongToken}`; status 0 where the server does not answer.
 * `ask(path, options)` is like `fetch`. A session is asked for where no token was entered, and once more when it has
 * ended with the server that gave it.
 */
export function keyRoutes(ask) {
  let session = "";
  let token = "";

  async function send(path, method, headers, body) {
    const content = method === "POST" ? { body: JSON.stringify(body) } : {};
    const type = method === "POST" ? { "Content-Type": "application/json" } : {};
    try {
      const response = await ask(path, {
        method,
        headers: { ...type, ...headers },
        cache: "no-store",
        redirect: "error", // no secret goes along to where a proxy sends the page
        ...content,
      });
      return { status: response.status, data: (await response.json().catch(() => null)) ?? {}, wrongToken: false };
    } catch {
      return { status: 0, data: {}, wrongToken: false };
    }
  }

  async function call(method, body) {
    if (token) {
      const answer = await send(KEY_PATH, method, { Authorization: `Bearer ${token}` }, body);
      if (answer.status !== 401) return answer;
      token = "";
      return { ...answer, wrongToken: true };
    }
    if (session) {
      const answer = await send(KEY_PATH, method, { [SESSION]: session }, body);
      if (answer.status !== 401) return answer;
    }
    const given = await send(SESSION_PATH, "POST", {}, {});
    session = typeof given.data.session === "string" ? given.data.session : "";
    return session ? send(KEY_PATH, method, { [SESSION]: session }, body) : given;
  }

  return {
    state: () => call("GET"),
    save: (key) => call("POST", { key }),
    forget: () => call("POST", { key: "" }),
    /** Takes the admin token for this page; false for what cannot be one, which no header could carry. */
    useToken(text) {
      token = String(text ?? "").trim();
      if (/^[\x21-\x7e]+$/.test(token)) return true;
      token = "";
      return false;
    },
  };
}

/**
 * What the field shows of an answer: a sentence, whether it tells of trouble, whether the admin token is asked for, and
 * whether there may be something to forget or to enter.
 */
export function viewOf({ status, data, wrongToken }) {
  const asked = { sentence: "", trouble: true, needsToken: false, canSave: false, canForget: false };
  if (status === 401) return { ...asked, needsToken: true, sentence: tokenSentence(data, wrongToken) };
  if (status === 0) return { ...asked, sentence: "The server does not answer. Open this again when it runs." };
  if (status !== 200 || !(Object.hasOwn(OF_A_SOURCE, data.source))) {
    const sentence = data.error ? String(data.error) : `The server answered ${status} and no more; its console says why.`;
    return { ...asked, sentence, canSave: status !== 404, canForget: false };
  }
  const sentence = (OF_A_CHANGE[data.status] ?? "") + OF_A_SOURCE[data.source];
  const changes = data.source !== "sandbox";
  return { ...asked, sentence, trouble: false, canSave: changes, canForget: changes && data.source !== "none" };
}

/** Asks for the admin token and says which command prints it; a damaged one is told of as the server tells it. */
export function tokenSentence(data, wrongToken) {
  if (!data?.command) return String(data?.error ?? "The server asks for its admin token.");
  const why = wrongToken
    ? "That is not this server's admin token"
    : "Over a network, a proxy or in a container the server asks once for its admin token";
  return `${why}. \`${data.command}\`, run in ComfyUI's folder with ComfyUI's Python, prints it.`;
}

/** A warning where what is entered would cross a network for all to read; `""` on this machine and over https. */
export function warningOf(isSecureContext) {
  return isSecureContext
    ? ""
    : "This page came over plain http: who listens in the network can read what you enter here. Better open it over https.";
}
