import assert from "node:assert/strict";
import test from "node:test";
import { readdirSync, readFileSync } from "node:fs";
import { inOneLine, sentencesIn, tableFor } from "../../web/lib/sentences.mjs";

const FOLDER = new URL("../../web/sentences/", import.meta.url);
const TABLES = readdirSync(FOLDER).map((name) => [name.replace(".json", ""), JSON.parse(readFileSync(new URL(name, FOLDER), "utf8"))]);
const chinese = Object.fromEntries(TABLES).zh;
const zh = sentencesIn(chinese);

test("each table is found by its language, English needs none", () => {
  assert.deepEqual(TABLES.map(([name]) => tableFor(name)), TABLES.map(([name]) => name));
  assert.deepEqual(["zh-TW", "en", "pt-BR", "", undefined, "__proto__"].map(tableFor), ["zh", "", "", "", "", ""]);
});

// What the server could fill in: digits where digits stand, else a word that no table has.
function fill(text, places) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => places.get(name) ?? whole);
}

test("every sentence of a table is known by its own pattern, whatever the others are", () => {
  for (const [language, table] of TABLES) {
    const translate = sentencesIn(table);
    for (const [english, own] of Object.entries(table)) {
      const names = [...english.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const places = new Map(names.map((name, place) => [name, /^number/.test(name) ? `${place + 7}` : `Qx${place}`]));
      const letters = english.replace(/\{\w+\}/g, "").replace(/[^A-Za-z]/g, "").length;
      if (names.length && (letters < 9 || !/^[A-Z{`]/.test(english))) continue; // but a part of a sentence
      assert.equal(translate(fill(english, places)), fill(own, places), `${language}: ${english}`);
    }
  }
});

test("what a Chinese sentence holds of the server's words is Chinese too", () => {
  const [sentence, words] = ["Nothing was changed.", "the connection broke off"];
  for (const [english, own] of Object.entries(chinese)) {
    const names = [...english.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    if (!names.some((name) => /^(sentence|words)/.test(name)) || !/^[A-Z{`]/.test(english)) continue;
    const values = (english_) => new Map(names.map((name, place) => [name, /^sentence/.test(name) ? english_[0] : /^words/.test(name) ? english_[1] : /^number/.test(name) ? "7" : `Qx${place}`]));
    const expected = fill(own, values([chinese[sentence], chinese[words]]));
    assert.equal(zh(fill(english, values([sentence, words]))).replaceAll(" ", ""), expected.replaceAll(" ", ""), english);
  }
});

test("sentences in sentences, words in them, lists and several in a row are in the page's language", () => {
  const cases = {
    "CivitAI's orchestrator could not be reached: the connection broke off. Trying again.": "无法连接 CivitAI 的云端：连接中断。正在重试。",
    "You may sell the model or merges of it, sell what it makes.": "允许出售模型或其合并、出售生成的内容。",
    "2 pictures are in civitai/ of the output folder. One order is still under way.": "2 张图像已放入输出文件夹的 civitai/ 中。还有 1 个订单在进行中。",
    "limit is 5, but it must be 0 to 12.": "limit 的值是 5，但它必须是 0 到 12。",
    "CivitAI does not let x.safetensors be downloaded (HTTP 403).": "CivitAI 不允许下载 x.safetensors（HTTP 403）。",
    "Nothing was changed. A sentence of a newer server.": "没有任何更改。 A sentence of a newer server.",
  };
  for (const [english, own] of Object.entries(cases)) assert.equal(zh(english), own);
  assert.equal(inOneLine(["没有任何更改。", "", "没有购买。"]), "没有任何更改。没有购买。");
});

test("what is not in the table stays as the server wrote it", () => {
  for (const text of ["Some error of today.", "You may like what this makes.", "Something I do to you.", "constructor", "__proto__", "{name}", "", " "]) assert.equal(zh(text), text);
  for (const odd of [undefined, null, 7, ["a"]]) assert.equal(zh(odd), odd);
  assert.equal(sentencesIn(undefined)("Nothing was changed."), "Nothing was changed.");
});

test("a hostile value stays the text that it is", () => {
  for (const name of ["<img src=x onerror=alert(1)>", "$&$1$`", "{sentence}", "{name}", "a file", "Nothing was changed", "' must be a text", "\\u0000", "__proto__"]) {
    assert.equal(zh(`${name} is not in ComfyUI's input folder.`), `${name} 不在 ComfyUI 的输入文件夹中。`);
  }
});

test("no text takes long, however it is made", () => {
  const parts = Object.keys(chinese).flatMap((text) => text.split(/\{\w+\}/)).filter((part) => part.length > 3);
  const texts = [parts.join("").slice(0, 1999), parts.join(". A ").slice(0, 1999), "(".repeat(1999), " must be ".repeat(220), "X is a. ".repeat(249), "A".repeat(1e6)];
  const nested = (text, depth) => (depth ? text.replaceAll("{words}", nested(text, depth - 1)) : text.replaceAll("{words}", "y"));
  texts.push(...["{words} cannot be used: {words}. {words}", "{words} could not be reached: {words}."].map((text) => nested(text, 4))); // would be looked at without end
  for (const text of texts) assert.equal(typeof zh(text), "string");
});
