// Pure: what a pasted or dropped text is to us. Everything else stays core's.

const HOSTS = /^(?:www\.)?civitai\.(?:com|red|green)$/;
const LONGEST = 100_000; // letters of a text with generation data
const STEPS = /(?:^|[\n,])[ \t]*Steps: ?\d+\s*(?:,|$)/m; // of one line: looking over empty lines costs their number squared

/** The CivitAI image, post or model that a text is the address of, as `{kind, reference}`; null for any other text. */
export function addressOf(text) {
  const line = String(text ?? "").trim();
  if (line.length > 2000 || /\s/.test(line) || !/^https?:\/\//i.test(line)) return null;
  let url;
  try {
    url = new URL(line);
  } catch {
    return null;
  }
  if (!HOSTS.test(url.hostname)) return null;
  const match = /^\/(images|posts|models)\/(\d{1,12})(?:\/|$)/.exec(url.pathname);
  if (!match) return null;
  const version = match[1] === "models" && /^\d{1,12}$/.exec(url.searchParams.get("modelVersionId") ?? "");
  const address = `https://${url.hostname}/${match[1]}/${match[2]}`;
  if (match[1] !== "models") return { kind: "image", reference: address };
  return { kind: "model", reference: version ? `${address}?modelVersionId=${version[0]}` : address };
}

/** Whether a text is what A1111 and CivitAI's "copy generation data" write: a line that begins with `Steps:`. */
export function isGenerationText(text) {
  const whole = String(text ?? "");
  return whole.length <= LONGEST && STEPS.test(whole) && !/^\s*[{[]/.test(whole);
}

/** `{kind: "image" | "model", reference}` or `{kind: "text", text}` for what is ours, else null. */
export function readingOf(text) {
  const address = addressOf(text);
  if (address) return address;
  return isGenerationText(text) ? { kind: "text", text: String(text) } : null;
}

/** The first address of a drop: `text/uri-list` may have comments and several lines. */
export function firstAddress(list) {
  return (
    String(list ?? "")
      .split(/\r?\n/)
      .map((line) => line.trim())
      .find((line) => line && !line.startsWith("#")) ?? ""
  );
}

/**
 * What a picture file carries: `{generation, graph}`, whether it has generation data as text (`parameters` in a PNG,
 * a user comment or XP comment in a JPEG or WebP) and whether it has a graph of ComfyUI's. Only looks for names and marks;
 * the server reads the picture. `bytes` is a Uint8Array of the whole file.
 */
export function marksOf(bytes) {
  const begins = (at, ...values) => values.every((value, place) => bytes[at + place] === value);
  if (begins(0, 0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10)) return marksOfPng(bytes);
  const isWebp = begins(0, ...[..."RIFF"].map(code)) && begins(8, ...[..."WEBP"].map(code));
  const isOther = begins(0, 0xff, 0xd8, 0xff) || isWebp; // whatever its type says
  return isOther ? marksOfOther(bytes) : { generation: false, graph: false };
}

const code = (letter) => letter.charCodeAt(0);

function marksOfPng(bytes) {
  const marks = { generation: false, graph: false };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const kind = latin(bytes.subarray(at + 4, at + 8));
    if (kind === "tEXt" || kind === "iTXt" || kind === "zTXt") {
      const name = latin(bytes.subarray(at + 8, at + 8 + 80)).split("\0")[0];
      if (name === "workflow" || name === "prompt") marks.graph = true;
      if (name === "parameters" || name === "Comment" || name === "Dream") marks.generation = true;
    }
    if (kind === "IEND") break;
    at += 12 + length;
  }
  return marks;
}

function marksOfOther(bytes) {
  const marks = { generation: false, graph: false };
  const ends = [bytes.subarray(0, 262_144), bytes.subarray(Math.max(0, bytes.length - 262_144))]; // WebP has it last
  for (const part of ends) {
    const text = latin(part).replaceAll("\0", ""); // UTF-16 becomes readable
    if (/Steps: ?\d+, /.test(text)) marks.generation = true;
    if (/(?:^|[^a-z])(?:workflow|prompt):\s?\{/i.test(text)) marks.graph = true;
  }
  return marks;
}

function latin(bytes) {
  return new TextDecoder("latin1").decode(bytes);
}
