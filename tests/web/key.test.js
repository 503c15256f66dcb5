import assert from "node:assert/strict";
import test from "node:test";
import { readFileSync } from "node:fs";
import { keyRoutes as routesOf, tokenSentence as askedWith, viewOf as view, warningOf } from "../../web/lib/key.mjs";
import { openSession } from "../../web/lib/session.mjs";
import { t } from "./english.js";

const keyRoutes = (ask) => routesOf(openSession(ask));
const viewOf = (answer) => view(answer, t);
const tokenSentence = (data, wrong) => askedWith(data, wrong, t);

const KEY = "0123456789abcdef0123456789abcdef";
const COMMAND = "python custom_nodes/pack/civitai_bridge catalog token";
const REFUSED = [401, { error: "This needs the admin token", code: "unauthorized", command: COMMAND }];

/** A server that gives a session or none, and knows one admin token; it keeps what it was asked. */
function server({ sessions = [], token = "the-token" } = {}) {
  const asked = [];
  let source = "none";
  const current = { session: "" };
  async function ask(path, { method, headers, body }) {
    asked.push({ path, method, headers, body });
    const answer = ([status, data]) => ({ status, json: async () => data });
    if (path.endsWith("/session")) {
      current.session = sessions.shift() ?? "";
      return answer(current.session ? [200, { session: current.session }] : REFUSED);
    }
    const inside =
      headers.Authorization === `Bearer ${token}` ||
      (current.session && headers["X-Civitai-Bridge-Session"] === current.session);
    if (!inside) return answer(REFUSED);
    if (method === "POST") source = JSON.parse(body).key ? "file" : "none";
    const status = { file: "saved", none: "deleted" }[source];
    return answer([200, { ...(method === "POST" ? { status } : {}), set: source !== "none", source }]);
  }
  return { ask, asked, current };
}

test("a page on the server's own machine enters a key without a token", async () => {
  const { ask, asked } = server({ sessions: ["s1"] });
  const routes = keyRoutes(ask);
  assert.equal((await routes.state()).data.source, "none");
  assert.equal((await routes.save(KEY)).data.status, "saved");
  assert.equal((await routes.forget()).data.status, "deleted");
  assert.deepEqual(
    asked.map(({ path, method }) => `${method} ${path}`),
    ["POST /civitai_bridge/session", "GET /civitai_bridge/key", "POST /civitai_bridge/key", "POST /civitai_bridge/key"],
  );
  assert.ok(!asked.some(({ path, headers }) => (path + JSON.stringify(headers)).includes(KEY)), "in the body alone");
});

test("a session that ended with its server is asked for anew", async () => {
  const { ask, current } = server({ sessions: ["s1", "s2"] });
  const routes = keyRoutes(ask);
  await routes.state();
  current.session = "another";
  assert.equal((await routes.save(KEY)).status, 200);
});

test("without a session the admin token is asked for once", async () => {
  const { ask, asked } = server();
  const routes = keyRoutes(ask);
  const view = viewOf(await routes.state());
  assert.ok(view.needsToken && !view.canSave);
  assert.ok(view.sentence.includes(`\`${COMMAND}\``) && view.sentence.includes("prints it"));
  assert.ok(routes.useToken("  the-token \n"));
  assert.equal((await routes.state()).status, 200);
  assert.equal((await routes.save(KEY)).data.source, "file");
  assert.equal(asked.filter(({ path }) => path.endsWith("/session")).length, 1);
});

test("a token that is entered in one place is used in all that wait for it", async () => {
  const { ask } = server();
  const session = openSession(ask);
  await session.get("/civitai_bridge/key");
  const states = [];
  for (let place = 0; place < 2; place++) session.whenToken(async () => states.push((await session.get("/civitai_bridge/key")).status));
  assert.ok(!session.useToken("zwei Wörter"));
  assert.ok(session.useToken("the-token"));
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(states, [200, 200]);
});

test("a token that loosens a setting is shown with the page's session, which the server then remembers", async () => {
  const { ask, asked } = server({ sessions: ["s1"] });
  const session = openSession(ask);
  await session.get("/civitai_bridge/key");
  session.useToken("the-token");
  await session.get("/civitai_bridge/key");
  const { headers } = asked.at(-1);
  assert.deepEqual([headers.Authorization, headers["X-Civitai-Bridge-Session"]], ["Bearer the-token", "s1"]);
});

test("a wrong token is forgotten and told of", async () => {
  const { ask } = server();
  const routes = keyRoutes(ask);
  routes.useToken("wrong");
  const answer = await routes.state();
  assert.ok(answer.wrongToken && viewOf(answer).sentence.startsWith("That is not this server's admin token"));
  assert.equal((await routes.state()).wrongToken, false);
  for (const text of ["", "   ", "zwei Wörter", "naïve", null]) assert.equal(routes.useToken(text), false);
});

test("each place of a key has a sentence, and none shows the key", () => {
  const of = (data) => viewOf({ status: 200, data, wrongToken: false });
  assert.ok(of({ set: false, source: "none" }).canSave && !of({ source: "none" }).canForget);
  assert.ok(of({ set: true, source: "file" }).canForget && of({ source: "file" }).sentence.includes("stored"));
  assert.ok(of({ status: "saved", source: "file" }).sentence.startsWith("Saved. "));
  assert.ok(of({ source: "environment" }).sentence.includes("CIVITAI_API_TOKEN"));
  assert.ok(!of({ source: "sandbox" }).canSave && !of({ source: "sandbox" }).trouble);
  assert.ok(!JSON.stringify(of({ source: "file", key: KEY })).includes(KEY));
});

test("trouble is told in the server's words, or in ours where it has none", () => {
  const of = (status, data = {}) => viewOf({ status, data, wrongToken: false });
  assert.deepEqual([of(400, { error: "No key." }).sentence, of(400, { error: "No key." }).canSave], ["No key.", true]);
  assert.ok(of(0).sentence.includes("does not answer") && of(0).trouble);
  assert.ok(of(500).sentence.includes("500"));
  assert.ok(of(401, { error: "The admin token cannot be read" }).sentence.startsWith("The admin token cannot be read"));
  assert.ok(of(200, { source: "toString" }).trouble, "a source that is none of ours");
  assert.equal(tokenSentence({}, false), "The server asks for its admin token.");
});

test("a server that does not answer, or not in JSON, breaks nothing", async () => {
  const dead = keyRoutes(async () => Promise.reject(new TypeError("fetch failed")));
  assert.equal((await dead.save(KEY)).status, 0);
  const page = keyRoutes(async () => ({ status: 404, json: async () => JSON.parse("<html>") }));
  const { status, data, wrongToken } = await page.state();
  assert.deepEqual({ status, data, wrongToken }, { status: 404, data: {}, wrongToken: false });
});

test("plain http over a network is warned of", () => {
  assert.equal(warningOf(true), "");
  assert.ok(t(warningOf(false)).includes("https"));
});

test("the field stores nothing in ComfyUI, the browser or the console", () => {
  for (const name of ["views/key_field.mjs", "lib/key.mjs", "lib/session.mjs", "frontend/server.mjs"]) {
    const source = readFileSync(new URL(`../../web/${name}`, import.meta.url), "utf8");
    assert.ok(!/localStorage|sessionStorage|indexedDB|document\.cookie|console\.|innerHTML|setSetting|\.setting\b/.test(source));
  }
});

test("no secret follows a redirect", async () => {
  const { ask } = server({ sessions: ["s1"] });
  const redirects = [];
  const routes = keyRoutes((path, options) => redirects.push(options.redirect) && ask(path, options));
  await routes.save(KEY);
  routes.useToken("the-token");
  await routes.state();
  assert.deepEqual(redirects, ["error", "error", "error"]);
});
