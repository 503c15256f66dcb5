// Asking our own routes. A page on the server's own machine gets a session; elsewhere a person enters the admin token,
// which stays in this page's memory alone.

const SESSION = "X-Civitai-Bridge-Session";
const SESSION_PATH = "/civitai_bridge/session";
const PATIENCE = 75; // seconds until a question is given up: the server itself gives up what it asks after 60

/** What the patience is for answers that may take the server minutes, in seconds. */
export const LONG = 330;

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The server's answers as `{status, data, wrongToken, why, after}`. Status 0 is no answer of this server's: `why` is then
 * `silent` (nothing came), `slow` (nothing came in time) or `foreign` (something else answered, like a proxy's page for a
 * login). `data` is an object always; `after` are the seconds of a Retry-After. `ask(path, options)` is like `fetch`. A
 * session is asked for where no token was entered, and once more when it has ended with the server that gave it.
 */
export function openSession(ask) {
  let session = "";
  let token = "";
  const waiting = new Set(); // who asks again when a token was entered

  async function send(path, options) {
    const { signal, patience = PATIENCE } = options;
    const ending = new AbortController();
    const timer = setTimeout(() => ending.abort(), 1000 * patience); // headers alone, or a body in drips, is no answer
    const stop = () => ending.abort();
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
    try {
      return await Promise.race([asked(path, options, ending.signal), endOf(ending.signal)]);
    } catch {
      const why = ending.signal.aborted && !signal?.aborted ? "slow" : "silent";
      return { status: 0, data: {}, wrongToken: false, why, after: null };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  async function asked(path, { method = "GET", body, headers = {}, bytes = false }, signal) {
    const content = method === "POST" ? { body: JSON.stringify(body ?? {}) } : {};
    const type = method === "POST" ? { "Content-Type": "application/json" } : {};
    const response = await ask(path, {
      method,
      headers: { ...type, ...headers },
      cache: "no-store",
      redirect: "error", // no secret goes along to where a proxy sends the page
      signal,
      ...content,
    });
    const { status } = response;
    const rest = { wrongToken: false, why: "", after: afterOf(response) };
    if (bytes && status === 200) return { status, data: await response.blob(), ...rest };
    const data = await response.json().catch(() => null);
    if (isObject(data)) return { status, data, ...rest };
    // Ours are JSON objects. A page with another status says so by that; a 401 of another's must not ask for our token.
    return status === 200 || status === 401 ? { ...rest, status: 0, data: {}, why: "foreign" } : { status, data: {}, ...rest };
  }

  async function call(path, options = {}) {
    if (token) {
      const used = token;
      // The session goes along: the server then knows this page's sessions as the admin's, also when it is loaded again.
      const headers = { Authorization: `Bearer ${used}`, ...(session ? { [SESSION]: session } : {}) };
      const answer = await send(path, { ...options, headers });
      if (answer.status !== 401) return answer;
      if (token === used) token = "";
      return { ...answer, wrongToken: true };
    }
    if (session) {
      const answer = await send(path, { ...options, headers: { [SESSION]: session } });
      if (answer.status !== 401) return answer;
    }
    const given = await send(SESSION_PATH, { method: "POST", signal: options.signal });
    session = typeof given.data.session === "string" ? given.data.session : "";
    if (session) return send(path, { ...options, headers: { [SESSION]: session } });
    return given.status === 200 ? { ...given, status: 0, why: "foreign" } : given;
  }

  return {
    /** `options` are `signal`, which gives the question up, and `patience` in seconds. */
    get: (path, options = {}) => call(path, options),
    post: (path, body, options = {}) => call(path, { ...options, method: "POST", body }),
    /** A picture as a Blob in `data`. */
    bytes: (path, options = {}) => call(path, { ...options, bytes: true }),
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
    /** Calls back once, when a token is entered wherever on the page; one callback counts once, however often it waits. */
    whenToken: (callback) => waiting.add(callback),
  };
}

function endOf(signal) {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

function afterOf(response) {
  const seconds = Number.parseInt(response.headers?.get?.("Retry-After") ?? "", 10);
  return seconds >= 0 ? Math.min(seconds, 86_400) : null;
}
