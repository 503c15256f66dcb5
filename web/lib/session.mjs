// Asking our own routes. A page on the server's own machine gets a session; elsewhere a person enters the admin token,
// which stays in this page's memory alone.

const SESSION = "X-Civitai-Bridge-Session";
const SESSION_PATH = "/civitai_bridge/session";

/**
 * The server's answers as `{status, data, wrongToken}`; status 0 where the server does not answer. `ask(path, options)`
 * is like `fetch`. A session is asked for where no token was entered, and once more when it has ended with the server
 * that gave it.
 */
export function openSession(ask) {
  let session = "";
  let token = "";
  const waiting = new Set(); // who asks again when a token was entered

  async function send(path, { method = "GET", body, headers = {}, bytes = false, signal }) {
    const content = method === "POST" ? { body: JSON.stringify(body ?? {}) } : {};
    const type = method === "POST" ? { "Content-Type": "application/json" } : {};
    try {
      const response = await ask(path, {
        method,
        headers: { ...type, ...headers },
        cache: "no-store",
        redirect: "error", // no secret goes along to where a proxy sends the page
        ...(signal ? { signal } : {}),
        ...content,
      });
      if (bytes && response.status === 200) return { status: 200, data: await response.blob(), wrongToken: false };
      return { status: response.status, data: (await response.json().catch(() => null)) ?? {}, wrongToken: false };
    } catch {
      return { status: 0, data: {}, wrongToken: false };
    }
  }

  async function call(path, options = {}) {
    if (token) {
      const used = token;
      const answer = await send(path, { ...options, headers: { Authorization: `Bearer ${used}` } });
      if (answer.status !== 401) return answer;
      if (token === used) token = "";
      return { ...answer, wrongToken: true };
    }
    if (session) {
      const answer = await send(path, { ...options, headers: { [SESSION]: session } });
      if (answer.status !== 401) return answer;
    }
    const given = await send(SESSION_PATH, { method: "POST" });
    session = typeof given.data.session === "string" ? given.data.session : "";
    return session ? send(path, { ...options, headers: { [SESSION]: session } }) : given;
  }

  return {
    get: (path, options = {}) => call(path, options),
    post: (path, body, options = {}) => call(path, { ...options, method: "POST", body }),
    /** A picture as a Blob in `data`. */
    bytes: (path) => call(path, { bytes: true }),
    /** Takes the admin token for this page; false for what cannot be one, which no header could carry. */
    useToken(text) {
      token = String(text ?? "").trim();
      if (/^[\x21-\x7e]+$/.test(token)) {
        const called = [...waiting];
        waiting.clear();
        for (const callback of called) queueMicrotask(callback);
        return true;
      }
      token = "";
      return false;
    },
    /** Calls back once, when a token is entered wherever on the page. */
    whenToken: (callback) => waiting.add(callback),
  };
}
