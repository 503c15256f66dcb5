import assert from "node:assert/strict";
import test from "node:test";
import { heightFor, isOurs, textOf } from "../../web/lib/report.js";

test("text comes as lines, and nothing is no text", () => {
  assert.equal(textOf({ text: ["a", "b"] }), "a\nb");
  assert.equal(textOf({ text: "a" }), "a");
  assert.equal(textOf({ images: [] }), null);
  assert.equal(textOf(undefined), null);
});

test("a short report is shown whole, a long one scrolls", () => {
  assert.equal(heightFor(""), 60);
  assert.ok(heightFor("x\n".repeat(5)) > 60);
  assert.equal(heightFor("x\n".repeat(500)), 220);
  assert.ok(heightFor("x".repeat(300)) > heightFor("x"), "a long line wraps");
});

test("only our nodes are touched", () => {
  assert.ok(isOurs("CivitaiBridgeGenerate"));
  assert.ok(!isOurs("KSampler") && !isOurs(undefined));
});
