import assert from "node:assert/strict";
import test from "node:test";
import { addressOf, firstAddress, isGenerationText, marksOf, readingOf } from "../../web/lib/paste.mjs";
import { planFrom, planOf } from "../../web/lib/plan.mjs";

const TEXT = "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512";

test("an address of an image or a post is ours, whatever stands behind it", () => {
  const ours = {
    "https://civitai.com/images/123": "https://civitai.com/images/123",
    " https://www.civitai.com/images/123?modelId=5#x ": "https://www.civitai.com/images/123",
    "https://civitai.red/posts/77/a-title": "https://civitai.red/posts/77",
    "HTTPS://CIVITAI.GREEN/images/9/": "https://civitai.green/images/9",
  };
  for (const [text, address] of Object.entries(ours)) assert.deepEqual(addressOf(text), { kind: "image", reference: address }, text);
});

test("an address of a model is ours, with the version that it names", () => {
  assert.deepEqual(readingOf("https://civitai.com/models/5/name?modelVersionId=7&x=1"), { kind: "model", reference: "https://civitai.com/models/5?modelVersionId=7" });
  assert.deepEqual(readingOf("https://civitai.com/models/5?modelVersionId=<x>"), { kind: "model", reference: "https://civitai.com/models/5" });
});

test("every other text stays core's", () => {
  const others = [
    "", null, undefined, "123", "https://civitai.com/user/5", "https://civitai.com.evil.example/images/1", "https://evil.example/civitai.com/images/1",
    "https://civitai.com@evil.example/images/1", "https://civitai.com/images/abc", "see https://civitai.com/images/1", "https://civitai.com/images/1 and 2",
    "javascript:alert(1)//civitai.com/images/1", "https://civitai.com/images/12345678901234567890", "x".repeat(5000),
    '{"nodes": [], "text": "\\nSteps: 20, "}', "I took Steps: many", "Steps: ten",
  ];
  for (const text of others) assert.equal(readingOf(text), null, String(text));
});

test("a text with a line of Steps is generation data", () => {
  assert.ok(isGenerationText(TEXT) && isGenerationText("cat\r\nSteps: 9") && isGenerationText("Steps: 20, Seed: 1"));
  assert.deepEqual(readingOf(TEXT), { kind: "text", text: TEXT });
  assert.ok(!isGenerationText(`${"x".repeat(200_000)}\nSteps: 20, `), "too long to be one");
});

test("a drop's list of addresses has comments", () => {
  assert.equal(firstAddress("# from a browser\r\nhttps://civitai.com/images/1\r\nhttps://b"), "https://civitai.com/images/1");
  assert.equal(firstAddress(""), "");
});

function png(...chunks) {
  const part = (kind, data) => {
    const head = new Uint8Array(8);
    new DataView(head.buffer).setUint32(0, data.length);
    head.set(new TextEncoder().encode(kind), 4);
    return [...head, ...data, 0, 0, 0, 0];
  };
  const text = (value) => new TextEncoder().encode(value);
  const start = [0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10];
  return new Uint8Array([...start, ...chunks.flatMap(([kind, value]) => part(kind, text(value))), ...part("IEND", [])]);
}

test("a picture with a text and no graph is ours, one with a graph is core's", () => {
  assert.deepEqual(marksOf(png(["tEXt", `parameters\0${TEXT}`])), { generation: true, graph: false });
  assert.deepEqual(marksOf(png(["tEXt", `parameters\0${TEXT}`], ["tEXt", "workflow\0{}"])), { generation: true, graph: true });
  assert.deepEqual(marksOf(png(["iTXt", "prompt\0{}"])), { generation: false, graph: true });
  assert.deepEqual(marksOf(png()), { generation: false, graph: false });
  const wide = (value) => [...value].flatMap((letter) => [0, letter.charCodeAt(0)]);
  assert.deepEqual(marksOf(new Uint8Array([0xff, 0xd8, 0xff, ...wide("UNICODE\0a cat\nSteps: 20, Seed: 1")])), { generation: true, graph: false });
  assert.deepEqual(marksOf(new TextEncoder().encode('RIFF....WEBP workflow:{"nodes":[]}')), { generation: false, graph: true });
});

test("damaged pictures are no trouble", () => {
  const whole = png(["tEXt", `parameters\0${TEXT}`]);
  for (let length = 0; length < whole.length; length += 3) marksOf(whole.subarray(0, length));
  assert.deepEqual(marksOf(new Uint8Array([0x89, 0x50, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4])), { generation: false, graph: false });
});

test("nodes for a reading are the one that reads and the one that settles a sampler, wired", () => {
  const plan = planOf({ kind: "image", reference: "https://civitai.com/images/1" });
  assert.deepEqual(plan.nodes.map(({ type }) => type), ["CivitaiBridgeImageData", "CivitaiBridgeGenerationSettings"]);
  assert.deepEqual(plan.links, [{ from: 0, output: "generation", to: 1, input: "generation" }]);
});

test("a plan of the server's is taken whole or not at all", () => {
  const nodes = [{ id: "a", type: "KSampler", pos: [1, 2], widgets: { seed: 3 } }, { id: "b", type: "VAEDecode" }];
  const plan = planFrom({ nodes, links: [["a", "LATENT", "b", "samples"]] });
  assert.deepEqual(plan.links, [{ from: 0, output: "LATENT", to: 1, input: "samples" }]);
  assert.deepEqual(plan.nodes[0], { type: "KSampler", at: [1, 2], widgets: { seed: 3 }, title: undefined });
  for (const bad of [{}, { nodes: [] }, { nodes: [{}] }, { nodes, links: [["a", "x", "gone", "y"]] }, { nodes: Array(99).fill(nodes[0]) }]) {
    assert.equal(planFrom(bad), null);
  }
});

test("what is called a picture and is none is core's, and a broken one breaks nothing", () => {
  const bytes = (...parts) => new Uint8Array(parts.flatMap((part) => (typeof part === "string" ? [...part].map((letter) => letter.charCodeAt(0)) : part)));
  const none = { generation: false, graph: false };
  for (const text of ["<svg onload='x'>\nSteps: 20, ", "<!doctype html>\nSteps: 20, Seed: 1", "", "GIF89a\nSteps: 20, "]) assert.deepEqual(marksOf(bytes(text)), none);
  const head = "\x89PNG\r\n\x1a\n";
  for (const rest of ["", "\xff\xff\xff\xfftEXt", "\0\0\0\x09tE", "\xff\xff\xff\xffIDATxxxxxxxx"]) assert.deepEqual(marksOf(bytes(head, rest)), none);
  assert.ok(marksOf(bytes(head, "\xff\xff\xff\xfftEXtparameters\0cut off")).generation, "the server says what is wrong with it");
});

test("a long text of empty lines, spaces or commas is looked at once", () => {
  for (const part of ["\n", "\r", "\u2028", " ", "\n ", ",", ", \n", "\nSteps: 1 "]) readingOf(part.repeat(99_000 / part.length)); // squared, it would take a minute
});
