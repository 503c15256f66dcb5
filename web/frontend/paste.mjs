// Paste and drop of what CivitAI's pictures are told by: an address, a text with `Steps:`, a picture that carries such a
// text and no graph. Everything else, and every field that takes text, stays core's.
import { app } from "../../../scripts/app.js";
import { firstAddress, marksOf, readingOf } from "../lib/paste.mjs";
import { canvasPlace, middle, mousePlace, takesPicture } from "./graph.mjs";
import { pageSetting } from "./settings.js";

const LARGEST = 64 * 2 ** 20; // bytes of a picture that is looked into here
// What lies beside or over the canvas has drops of its own.
const ELSEWHERE = "dialog, [role=dialog], aside, nav, .cb-panel, .side-bar-panel, .side-tool-bar-container";
let dropped = null; // where the last drop was; 1.35 keeps a stale mouse meanwhile

function takesText(target) {
  return Boolean(target?.isContentEditable) || /^(INPUT|TEXTAREA|SELECT)$/.test(target?.tagName ?? "");
}

const load = () => import("./pasted.mjs");

async function addReading(reading, place) {
  return (await load()).addReading(reading, place);
}

async function addPicture(file, place) {
  return (await load()).addPicture(file, place);
}

/** Whether a file is a picture with generation data as text and without a graph, which core would open itself. */
export async function isOurs(file) {
  if (!/^image\/(png|jpeg|webp)$/.test(file?.type ?? "") || file.size > LARGEST) return false;
  try {
    const marks = marksOf(new Uint8Array(await file.arrayBuffer()));
    return marks.generation && !marks.graph;
  } catch {
    return false;
  }
}

function pasted(event) {
  if (event.cbPassed || takesText(event.target) || event.target?.closest?.("dialog, [role=dialog]")) return;
  const reading = readingOf(event.clipboardData?.getData("text/plain"));
  const files = [...(event.clipboardData?.files ?? [])];
  if (reading) {
    stop(event);
    addReading(reading, mousePlace());
  } else if (files.length === 1 && pageSetting("pictures") && /^image\/(png|jpeg|webp)$/.test(files[0].type) && files[0].name !== "image.png" && !takesPicture()) {
    stop(event); // what is copied in a browser is called image.png, and carries nothing
    pastedFile(event.target, files[0]);
  }
}

async function pastedFile(target, file) {
  const place = mousePlace();
  if (await isOurs(file)) return addPicture(file, place);
  const again = new DataTransfer();
  again.items.add(file);
  const event = new ClipboardEvent("paste", { clipboardData: again, bubbles: true, cancelable: true });
  event.cbPassed = true;
  return target.dispatchEvent(event);
}

function stop(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}

function wasDropped(event) {
  dropped = [event.clientX, event.clientY];
  if (takesText(event.target) || event.target?.closest?.(ELSEWHERE)) return;
  if (event.dataTransfer?.files?.length) return; // goes through handleFile
  const address = firstAddress(event.dataTransfer?.getData("text/uri-list"));
  const reading = readingOf(address) ?? readingOf(event.dataTransfer?.getData("text/plain"));
  if (!reading) return;
  stop(event);
  addReading(reading, canvasPlace(...dropped));
}

/** Listen on the page, before core does. */
export function guardPaste() {
  document.addEventListener("paste", pasted, true);
  document.addEventListener("drop", wasDropped, true);
  const handle = app.handleFile;
  app.handleFile = async function (file, ...rest) {
    if (!pageSetting("pictures") || !(await isOurs(file))) return handle.call(this, file, ...rest);
    const place = dropped ? canvasPlace(...dropped) : middle();
    dropped = null;
    return addPicture(file, place);
  };
}
