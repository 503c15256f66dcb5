import assert from "node:assert/strict";
import test from "node:test";
import { cut, linesOf, withWrittenNames } from "../../web/lib/consent.mjs";
import { mayAsk, oursIn } from "../../web/lib/kinds.js";
import { actionsOf, nameOf } from "../../web/lib/errors.mjs";
import { isAbovePg } from "../../web/lib/pictures.mjs";
import { accountOf } from "../../web/lib/account.mjs";
import { codeOf, detailOf, linesOfLog, linkOf, stateWords, wireWord } from "../../web/lib/link.mjs";
import { t as english } from "./english.js";
import { pricesIn } from "../../web/lib/prices.mjs";

test("only a graph with nodes of CivitAI is looked at before a run", () => {
  assert.ok(mayAsk({ 1: { class_type: "KSampler" }, 2: { class_type: "CivitaiBridgeGenerate" } }));
  assert.ok(mayAsk({ 1: { class_type: "CivitaiImageSDXL" } }), "CivitAI's own pack pays too");
  assert.ok(!mayAsk({ 1: { class_type: "KSampler" } }) && !mayAsk({}) && !mayAsk(null));
  const harmless = { class_type: "CivitaiBridgeResolve" };
  assert.ok(!mayAsk({ 1: harmless }), "what only looks something up neither pays nor writes");
  assert.ok(mayAsk({ 1: { class_type: "CivitaiBridgeResolveAndBuy" } }), "a node that is not known here may");
  assert.deepEqual(oursIn({ 1: { class_type: "CivitaiBridgeGenerate", _meta: { title: "Buy" } }, 2: { class_type: "X" }, 3: harmless }), ["Buy"]);
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
  for (const safe of ["PG", "None", 1, "1"]) assert.ok(!isAbovePg(safe), String(safe));
  for (const other of ["PG-13", "R", "X", 0, 2, 32, false, undefined, null, "?"]) assert.ok(isAbovePg(other), String(other));
});

test("an account with half of its members is shown as far as it goes", () => {
  const empty = accountOf({});
  assert.deepEqual([empty.user, empty.wallets, empty.spent, empty.perDay, empty.waiting, empty.findings], ["", [], 0, null, [], []]);
  const half = accountOf({ waiting: [{ key: "k", model: "m", cost: 5, created: 10 }, {}], wallet: { blue: 3, odd: "x" }, doctor: [{ state: "trouble", topic: "key", sentence: "No.", remedy: "Enter one." }] });
  assert.deepEqual([half.waiting[0].name, half.waiting[0].cost, half.wallets], ["m", 5, [{ name: "blue", buzz: 3 }]]);
  assert.deepEqual([half.findings[0].isWell, half.findings[0].lines], [false, ["No.", "Enter one."]]);
});

test("a link is shown as the server tells it, its log from the newest", () => {
  assert.deepEqual(linkOf({}), { isPaired: false, sentence: "", state: "", questions: [], activities: [], trash: 0 });
  assert.deepEqual(linkOf({ paired: true, activities: [{ id: "1", type: "add", progress: 41.6 }], questions: [{ number: 1, sentence: "<b>" }, {}] }).questions, [{ number: 1, sentence: "<b>" }]);
  assert.deepEqual(linesOfLog({ lines: [{ at: 1, type: "a" }, { at: 2, type: "b" }] }).map(({ type }) => type), ["b", "a"]);
  assert.deepEqual([codeOf(" ABC123 "), codeOf("a b"), codeOf("<img>"), codeOf(null)], ["ABC123", "", "", ""]);
});

test("prices add up, unless one is not known", () => {
  assert.equal(pricesIn({ nodes: [{ node: "1", cost: 3 }, { node: "2", cost: 4 }] }).total, 7);
  assert.equal(pricesIn({ nodes: [{ node: "1", cost: 3 }, { node: "2", error: "No." }] }).total, null);
});

test("how the link stands is said in the page's language, with what the network said", () => {
  const t = (key, { count } = {}) => `${key} ${count}`;
  assert.equal(stateWords({ state: "joined", browsers: 2, sentence: "x", detail: "Away." }, t), "link.state.joined 2");
  assert.equal(stateWords({ state: "joined", browsers: 0 }, t), "link.state.joined_none 0");
  assert.equal(stateWords({ state: "joined", browsers: 1, is_pairing: true }, t), "link.state.pairing 1");
  assert.equal(stateWords({ state: "new one", sentence: "Something." }, t), "Something.");
  assert.deepEqual([{ state: "refused", detail: "Away." }, { state: "new one", detail: "Away." }, null].map(detailOf), ["Away.", "", ""]);
  assert.deepEqual(["resources:add", "Made:up"].map((word) => wireWord("type", word, english)), ["download", "Made:up"]);
});

test("a name that is filled in for each run counts as it is written", () => {
  const output = JSON.parse('{"1": {"class_type": "SaveImage", "inputs": {"filename_prefix": "cat-11", "images": ["2", 0]}}, "__proto__": {"class_type": "CivitaiBridgeGenerate"}}');
  const named = withWrittenNames(output, () => "cat-%date:mm%");
  assert.equal(named[1].inputs.filename_prefix, "cat-%date:mm%");
  assert.equal(output[1].inputs.filename_prefix, "cat-11", "what is sent stays");
  assert.ok(Object.hasOwn(named, "__proto__"), "no node is lost by its id");
  const plain = (_, input) => (input === "filename_prefix" ? "another" : undefined);
  assert.equal(withWrittenNames(output, plain)[1].inputs.filename_prefix, "cat-11");
  assert.deepEqual(withWrittenNames(null, plain), {});
});
