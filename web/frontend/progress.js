// What the server tells while it works: downloads as they go on, and the state again after the connection was lost.
import { api } from "../../../scripts/api.js";
import { server } from "./server.js";

/** Downloads by reference, as `{reference, name, done, total, over, error}`; bytes. */
export const downloads = new Map();
const listeners = new Set();
const again = new Set();

/** Calls back with each change of a download; gives a function that ends it. */
export function onDownload(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

/** Calls back when the server is here again after it was away: events in between are lost. */
export function onReconnected(callback) {
  again.add(callback);
  return () => again.delete(callback);
}

function note(change) {
  const before = downloads.get(change.reference) ?? { done: 0, total: 0, over: false, error: "" };
  const after = { ...before, ...change };
  downloads.set(change.reference, after);
  for (const callback of listeners) callback(after);
}

/** Have the server load a file; gives its answer. */
export async function startDownload(reference, name) {
  note({ reference, name, done: 0, total: 0, over: false, error: "" });
  const given = await server.post("/civitai_bridge/download", { reference, client_id: api.clientId });
  if (given.status !== 200 && given.status !== 202) note({ reference, over: true, error: String(given.data?.error ?? "") });
  return given;
}

/** A person's cancel; what is there is kept for the next time. */
export function cancelDownload(reference) {
  return server.post("/civitai_bridge/download/cancel", { reference });
}

/** Listen to the server; once. */
export function listen() {
  api.addEventListener("civitai_bridge.download", ({ detail }) => {
    if (typeof detail?.reference === "string") note(detail);
  });
  api.addEventListener("reconnected", () => {
    for (const callback of again) callback();
  });
}
