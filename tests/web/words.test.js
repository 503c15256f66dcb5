import assert from "node:assert/strict";
import test from "node:test";
import { readdirSync, readFileSync } from "node:fs";
import { badgeText } from "../../web/lib/badges.mjs";
import { controlOf, needsAdmin, SERVER_SETTINGS } from "../../web/lib/settings.js";
import { numberText } from "../../web/lib/words.mjs";
import { t } from "./english.js";

const WEB = new URL("../../web/", import.meta.url);
const FILES = readdirSync(WEB, { recursive: true }).filter((name) => /\.m?js$/.test(name));
const SOURCES = FILES.map((name) => [name, readFileSync(new URL(name, WEB), "utf8")]);
const main = JSON.parse(readFileSync(new URL("../../locales/en/main.json", import.meta.url), "utf8")).civitai_bridge;
const settings = JSON.parse(readFileSync(new URL("../../locales/en/settings.json", import.meta.url), "utf8"));

test("every text that the page asks for is there", () => {
  const gone = [];
  for (const [name, source] of SOURCES) {
    for (const [, key] of source.matchAll(/(?:\bt|section)\(\s*"([a-z_]+(?:\.[a-z_]+)+)"/g)) if (t(key) === key) gone.push(`${name}: ${key}`);
    for (const [, key] of source.matchAll(/\bt\(\s*`([a-z_.]+)\.\$\{/g)) {
      if (typeof key.split(".").reduce((words, part) => words?.[part], main) !== "object") gone.push(`${name}: ${key}.*`);
    }
  }
  assert.deepEqual(gone, []);
  assert.ok(SOURCES.length > 20);
});

test("every setting has a name, in the dialog and for who hears the page, and explains itself", () => {
  const gone = Object.keys(SERVER_SETTINGS).filter((name) => !settings[`civitai_bridge_${name}`]?.name || !main.settings.names[name]);
  assert.deepEqual(gone, []);
  assert.deepEqual(Object.keys(settings).filter((id) => !settings[id].tooltip), []); // else ComfyUI shows the id
});

test("nothing is ever put into the page as HTML, and nothing is run as code", () => {
  const active = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc/;
  assert.deepEqual(SOURCES.filter(([, source]) => active.test(source)).map(([name]) => name), []);
});

test("a badge says what is paid, what it would cost, or nothing", () => {
  const words = { t, number: numberText };
  assert.equal(badgeText(undefined, words), "");
  assert.equal(badgeText({ price: 1200, phase: "processing" }, words), "at work, 1,200 Buzz");
  assert.equal(badgeText({ price: 8, phase: "" }, words), "8 Buzz");
  assert.equal(badgeText({ price: null, asked: 8 }, words), "would cost 8 Buzz");
});

test("a setting is shown by its kind, a kind of a newer server as text", () => {
  assert.deepEqual(["choice", "list", "switch", "number", "text", "map", undefined].map((type) => controlOf({ type })), ["choice", "list", "switch", "number", "text", "text", "text"]);
  assert.ok(needsAdmin({ status: 401, data: {} }) && needsAdmin({ status: 403, data: { code: "admin_needed" } }));
  assert.ok(!needsAdmin({ status: 403, data: {} }) && !needsAdmin({ status: 200, data: {} }));
});
