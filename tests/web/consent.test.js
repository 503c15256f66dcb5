import assert from "node:assert/strict";
import test from "node:test";
import { cut, linesOf, mayAsk, oursIn } from "../../web/lib/consent.js";
import { actionsOf, nameOf } from "../../web/lib/errors.js";
import { isAbovePg } from "../../web/lib/pictures.mjs";
import { accountOf } from "../../web/lib/account.mjs";
import { pricesIn } from "../../web/lib/prices.mjs";

test("only a graph with nodes of CivitAI is looked at before a run", () => {
  assert.ok(mayAsk({ 1: { class_type: "KSampler" }, 2: { class_type: "CivitaiBridgeGenerate" } }));
  assert.ok(mayAsk({ 1: { class_type: "CivitaiImageSDXL" } }), "CivitAI's own pack pays too");
  assert.ok(!mayAsk({ 1: { class_type: "KSampler" } }) && !mayAsk({}) && !mayAsk(null));
  assert.deepEqual(oursIn({ 1: { class_type: "CivitaiBridgeGenerate", _meta: { title: "Buy" } }, 2: { class_type: "X" } }), ["Buy"]);
});

test("long lists and long names are cut, and say so", () => {
  const { lines, more } = linesOf(Array.from({ length: 20 }, (_, index) => index), String, 12);
  assert.deepEqual([lines.length, more], [12, 8]);
  assert.equal(cut("a\n  b".padEnd(500, "x")).length, 160);
  assert.deepEqual(linesOf("no list", String), { lines: [], more: 0 });
});

test("an error leads to what can be done about it", () => {
  assert.equal(nameOf({ exception_type: "civitai_bridge.OutOfBuzz" }), "OutOfBuzz");
  assert.deepEqual(actionsOf("OutOfBuzz"), ["buzz", "account"]);
  assert.deepEqual([actionsOf("toString"), actionsOf(nameOf(undefined))], [[], []]);
});

test("what is not known to be harmless is blurred", () => {
  for (const safe of ["PG", "None", 1, 0, "1"]) assert.ok(!isAbovePg(safe), String(safe));
  for (const other of ["PG-13", "R", "X", 2, 32, undefined, null, "?"]) assert.ok(isAbovePg(other), String(other));
});

test("an account with half of its members is shown as far as it goes", () => {
  assert.deepEqual(accountOf({}), { user: "", wallets: [], spent: 0, perDay: null, perPrompt: null, waiting: [], doctor: [], sandbox: false });
  assert.equal(accountOf({ waiting: [{ key: "k", model: "m", cost: 5 }] }).waiting[0].text, "m · 5 Buzz");
});

test("prices add up, unless one is not known", () => {
  assert.equal(pricesIn({ nodes: [{ node: "1", buzz: 3 }, { node: "2", buzz: 4 }] }).total, 7);
  assert.equal(pricesIn({ nodes: [{ node: "1", buzz: 3 }, { node: "2", error: "No." }] }).total, null);
});
