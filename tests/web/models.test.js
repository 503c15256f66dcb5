import assert from "node:assert/strict";
import test from "node:test";
import { isAddable, isLoadable, isWanted, noteOf, otherName, rowsOf, searchWords, stateOf, summaryOf, withWhatIsKnown } from "../../web/lib/models.mjs";
import { rowAfterKey, scrollTo, windowOf } from "../../web/lib/list.mjs";
import { sizeText, translator } from "../../web/lib/words.mjs";

const here = { node: "1", input: "ckpt_name", name: "a.safetensors", status: "present", here: true, missing: false, place: "disk", file: "a.safetensors" };
const gone = { node: "2", input: "lora_name", name: "b.safetensors", status: "missing", here: false, missing: true, reference: "300001", size: 1000, place: "disk" };

test("what is missing stands first, and its files under it", () => {
  const rows = rowsOf([here, { ...gone, version_id: 300001, parts: [{ file_id: 1, name: "x.vae", status: "present" }] }]);
  assert.deepEqual(rows.map(({ name, isPart }) => [name, isPart]), [["b.safetensors", false], ["x.vae", true], ["a.safetensors", false]]);
  assert.deepEqual(summaryOf(rows), { count: 2, missing: 1, bytes: 1000 });
  assert.deepEqual(rows.map(isLoadable), [true, false, false]);
  assert.deepEqual(rows.map(isAddable), [false, false, false]);
  assert.deepEqual(rows.map(otherName), ["", "", ""]);
});

test("another file of a model is loaded by its own address, one that stands in for another is not", () => {
  const parts = [{ file_id: 7, name: "t5", type: "Text Encoder", status: "missing" }, { file_id: 8, name: "fp16", type: "Pruned Model", status: "missing" }];
  const rows = rowsOf([{ ...here, version_id: 5, air: "urn:air:flux1:checkpoint:civitai:4@5", parts }]);
  assert.deepEqual(rows.map(isLoadable), [false, true, false]);
  assert.equal(rows[1].reference, "urn:air:flux1:checkpoint:civitai:4@5+7");
});

test("all that is missing is what the graph needs on this disk, and its size is told whole", () => {
  const parts = [{ file_id: 7, name: "t5", type: "Text Encoder", status: "missing", needed: true, size: 500 }, { file_id: 8, name: "t.zip", type: "Training Data", status: "missing", needed: false, size: 9 }, { file_id: 9, name: "low", type: "Model", status: "missing", needed: true, size: 700 }];
  const model = { ...gone, air: "urn:air:wan:checkpoint:civitai:4@300001", parts };
  assert.deepEqual(rowsOf([model]).filter(isWanted).map(({ name }) => name), ["b.safetensors", "t5", "low"]);
  assert.equal(summaryOf(rowsOf([model])).bytes, 2200);
  assert.ok(isLoadable(rowsOf([model])[2]), "what nobody needs can still be had by itself");
  assert.deepEqual(rowsOf([{ ...model, missing: false, place: "fleet" }]).filter(isLoadable), []);
});

test("what CivitAI said of a model stays when the disk alone is looked at again", () => {
  const asked = { ...gone, air: "urn:air:sdxl:lora:civitai:1@300001", model_name: "Style", version_id: 300001 };
  const [now] = withWhatIsKnown([{ ...gone, here: true, missing: false, air: "", model_name: "300001", version_id: null }], [asked]);
  assert.deepEqual([now.model_name, now.version_id, now.here], ["Style", 300001, true]);
  assert.deepEqual(withWhatIsKnown([here], [asked]), [here]);
  assert.deepEqual(withWhatIsKnown("odd", null), []);
});

test("what the fleet uses is not missing here", () => {
  assert.equal(stateOf({ place: "fleet", here: false, status: "not_found" }), "fleet");
});

test("a filter looks at names, kinds and nodes", () => {
  assert.equal(rowsOf([here, gone], "B.SAFE").length, 1);
  assert.equal(rowsOf([{ ...here, title: "My loader" }], "loader").length, 1);
});

test("what is here is present, whatever the catalogs hold", () => {
  assert.equal(stateOf({ status: "not_found", here: true }), "present");
  assert.equal(stateOf({ status: "present", here: false }), "missing");
  assert.equal(stateOf({ status: "__proto__" }), "unknown");
});

test("a file without an entry can be added, and another name can be used", () => {
  const [row] = rowsOf([{ ...here, status: "not_found", version_id: 5, name: "old.safetensors", file: "sub\\new.safetensors" }]);
  assert.ok(isAddable(row));
  assert.equal(otherName(row), "sub\\new.safetensors");
  assert.equal(otherName(rowsOf([{ ...here, name: "sub/a.safetensors", file: "sub\\a.safetensors" }])[0]), "");
});

test("odd values of a stranger's graph break nothing", () => {
  const odd = [{}, { name: { x: 1 }, trigger_words: "no list", parts: "no", size: "NaN", license: 3, preview: 7, newer: [] }, { name: null, trigger_words: [null, {}, "<img onerror=alert(1)>"] }];
  const rows = rowsOf(odd);
  assert.equal(rows.length, 3);
  assert.deepEqual(rows[2].words, ["<img onerror=alert(1)>"]);
  assert.deepEqual(rowsOf("nothing"), []);
});

test("a virtual list has a window of rows and moves by keys", () => {
  assert.deepEqual(windowOf(0, 560, 56, 300), { first: 0, after: 16 });
  assert.deepEqual(windowOf(56 * 290, 560, 56, 300), { first: 284, after: 300 });
  assert.deepEqual(windowOf(0, 0, 56, 0), { first: 0, after: 0 });
  assert.equal(scrollTo(0, 100, 500, 56), 0);
  assert.equal(scrollTo(20, 0, 560, 56), 21 * 56 - 560);
  assert.equal(scrollTo(3, 0, 560, 56), 0);
  assert.deepEqual(["ArrowDown", "ArrowUp", "Home", "End", "PageDown", "a"].map((key) => rowAfterKey(key, 2, 10, 5)), [3, 1, 0, 9, 7, null]);
  assert.equal(rowAfterKey("End", 0, 0, 5), null);
});

test("texts fall back to English and then to their key", () => {
  const t = translator({ en: { civitai_bridge: { a: "A {x}", n: "{count} s", n_one: "1" } }, zh: { civitai_bridge: { a: "甲 {x}" } } }, "zh-TW");
  assert.deepEqual([t("a", { x: 1 }), t("n", { count: 2 }), t("n", { count: 1 }), t("gone.key"), t("constructor")], ["甲 1", "2 s", "1", "gone.key", "constructor"]);
  assert.deepEqual([sizeText(6_460_000_000), sizeText(999), sizeText(0), sizeText(undefined)], ["6.5 GB", "999 B", "", ""]);
});

test("a file's name becomes words to look for", () => {
  for (const [name, words] of [["sdXL_v10VAEFix.safetensors", "sdXL v10VAEFix"], ["a\\b/ink-lines_v1.pt", "ink lines v1"], ["inkLines", "inkLines"], ["<img>", "<img>"]]) {
    assert.equal(searchWords(name), words);
  }
});

test("why CivitAI's word is lacking is said once for the graph", () => {
  const silent = { ...gone, status: "unknown", notes: ["CivitAI could not be asked."] };
  assert.deepEqual([noteOf({ models: [here, silent] }), noteOf({ models: [silent], models_note: "Away." }), noteOf({ models: [here] }), noteOf(null)], ["CivitAI could not be asked.", "Away.", "", ""]);
});
