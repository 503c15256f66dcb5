import assert from "node:assert/strict";
import test from "node:test";
import { clearToasts, hidesErrors, showToast, toastOf } from "../../web/lib/errors.mjs";
import { heightFor, heightNeeded, textOf } from "../../web/lib/report.mjs";
import { isOurs } from "../../web/lib/kinds.js";

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

test("the canvas reserves what was measured, up to a screen", () => {
  assert.equal(heightNeeded(300, ""), 320);
  assert.equal(heightNeeded(3000, ""), 600);
  assert.equal(heightNeeded(0, "x"), heightFor("x") + 20);
});

test("errors are shown where the frontend hides their sentence", () => {
  assert.ok(!hidesErrors("1.35.9") && !hidesErrors("1.20.0"));
  assert.ok(hidesErrors("1.49.6") && hidesErrors("1.58.1") && hidesErrors("2.0.0") && hidesErrors(undefined));
  const detail = { node_type: "CivitaiBridgeResolve", exception_message: " No such model. \n" };
  assert.deepEqual(toastOf(detail, "My node"), {
    severity: "error",
    summary: "My node",
    detail: "No such model.",
    life: 15000,
  });
  assert.equal(toastOf(detail).summary, "CivitaiBridgeResolve");
  assert.equal(toastOf({ node_type: "x", exception_message: "" }), null);
});

test("our toasts go where the field that they name is opened, and others stay", () => {
  const removed = [];
  const toasts = { add() {}, remove: (toast) => removed.push(toast) };
  const toast = { summary: "CivitAI Generate" };
  showToast(toasts, toast);
  clearToasts(toasts);
  clearToasts(toasts);
  assert.deepEqual(removed, [toast]);
  showToast(undefined, toast);
  clearToasts(undefined);
});
