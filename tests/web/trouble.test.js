import assert from "node:assert/strict";
import test from "node:test";
import { asksNothing, cut, tellsOfGraph } from "../../web/lib/consent.mjs";
import { openSession } from "../../web/lib/session.mjs";
import { secondsUntilNext, troubleText } from "../../web/lib/trouble.mjs";
import { shown } from "../../web/lib/values.mjs";
import { t } from "./english.js";

const PATH = "/civitai_bridge/graph";

/** A session with a server that lets everybody in and answers questions with `reply(options)`. */
function asking(reply) {
  const session = { status: 200, json: async () => ({ session: "s" }) };
  return openSession(async (path, options) => (path.endsWith("/session") ? session : reply(options)));
}

const json = (status, data, headers = {}) => ({ status, json: async () => data, headers: new Headers(headers) });
const page = (status) => ({ status, json: async () => JSON.parse("<html>Please log in</html>") });
const never = () => new Promise(() => {});

test("what answers in the server's place is no answer, whatever it says", async () => {
  for (const reply of [page(200), page(401), json(200, null), json(200, []), json(200, "yes"), json(200, 7)]) {
    const given = await asking(async () => reply).post(PATH, {});
    assert.deepEqual([given.status, given.why, given.data], [0, "foreign", {}]);
    assert.ok(troubleText(given, t).includes("Reload this page"));
  }
  const given = await openSession(async () => page(200)).get(PATH);
  assert.deepEqual([given.status, given.why], [0, "foreign"], "no session either");
  assert.equal((await openSession(async () => json(200, { hello: 1 })).get(PATH)).status, 0);
  assert.equal((await asking(async () => page(502)).get(PATH)).status, 502, "a proxy that says itself what is wrong");
});

test("a server that hangs is given up: before its headers, and behind them", async () => {
  const replies = [never, async () => ({ status: 200, json: never })];
  for (const reply of replies) {
    const given = await asking(reply).get(PATH, { patience: 0.02 });
    assert.deepEqual([given.status, given.why], [0, "slow"]);
    assert.ok(troubleText(given, t).includes("too long"));
  }
});

test("a question that nobody waits for any more is ended", async () => {
  const ending = new AbortController();
  const signals = [];
  const given = asking(({ signal }) => signals.push(signal) && never()).get(PATH, { signal: ending.signal });
  await new Promise((resolve) => setTimeout(resolve, 5));
  ending.abort();
  assert.deepEqual([(await given).status, (await given).why], [0, "silent"]);
  assert.ok(signals[0].aborted, "the browser's connection is free again");
});

test("what passes is asked again by itself, not before the time that was named", async () => {
  const wait = async (reply) => secondsUntilNext(await asking(async () => reply).get(PATH));
  assert.equal(await wait(json(503, { error: "Away." }, { "Retry-After": "120" })), 120);
  assert.equal(await wait(json(429, {}, { "Retry-After": "0" })), 5, "never at once");
  assert.equal(await wait(json(503, {}, { "Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT" })), 30);
  assert.equal(await wait(page(504)), 30);
  assert.equal(secondsUntilNext({ status: 0, after: null }), 8);
  for (const status of [200, 400, 401, 403, 404, 424, 500]) assert.equal(secondsUntilNext({ status, after: 3 }), null);
});

test("a sentence is a text, and of a length to be read", () => {
  const of = (data) => troubleText({ status: 502, data }, t);
  assert.equal(of({ error: "Away." }), "Away.");
  for (const error of [{ message: "x" }, [], null, true, ""]) assert.ok(of({ error }).includes("502"));
  assert.equal(of({ error: "x".repeat(9000) }).length, 600);
});

test("a graph runs unasked only where the server said that nobody needs to be asked", () => {
  const answer = (data, status = 200) => ({ status, data });
  assert.ok(asksNothing(answer({ asks: false })));
  for (const data of [{}, { asks: true }, { asks: null }, { asks: 0 }, { asks: "false" }, null]) assert.ok(!asksNothing(answer(data)));
  assert.ok(!asksNothing(answer({ asks: false }, 500)));
  assert.ok(tellsOfGraph(answer({ asks: true, hash: "a", most_buzz: 5 })));
  for (const data of [{}, { asks: true }, { asks: true, hash: "a" }, { asks: true, hash: "a", most_buzz: "5" }]) assert.ok(!tellsOfGraph(answer(data)));
});

test("a stranger's text turns nothing that stands around it", () => {
  assert.equal(shown("\u202eevil\u2066\u0000\u001b[2J\nnext\tword\u{1f600}"), "evil[2J\nnext\tword\u{1f600}");
  assert.equal(cut(`\u202e${"x".repeat(500)}`).length, 160);
  assert.equal(shown("مرحبا and \ud800"), "مرحبا and \ud800", "a language that is written from the right stays, and nothing breaks");
});
