import assert from "node:assert/strict";
import test from "node:test";
import { laterWidgets, MARK, notSaved } from "../../web/lib/saved.js";

test("a node type has its later widgets with their defaults, or none", () => {
  assert.deepEqual(laterWidgets("CivitaiBridgeGenerate"), { tags: "" });
  assert.equal(laterWidgets("KSampler"), null);
});

test("what a saved node does not note it cannot have saved", () => {
  const later = { tags: "", more: 1 };
  for (const properties of [undefined, null, {}, { [MARK]: "tags" }, { [MARK]: null }]) {
    assert.deepEqual(notSaved(later, properties), ["tags", "more"]);
  }
  assert.deepEqual(notSaved(later, { [MARK]: ["tags"] }), ["more"]);
  assert.deepEqual(notSaved(later, { [MARK]: ["tags", "more", "gone"] }), []);
});
