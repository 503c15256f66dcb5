// What the server tells while it works: downloads as they go on, and the state again after the connection was lost.
import { api } from "../../../scripts/api.js";
import { server } from "./server.mjs";

/** Downloads by reference, as the server tells them: `{id, reference, status, name, bytes, of_bytes, text, error}`. */
export const downloads = new Map();
const listeners = new Set();
const again = new Set();
const linked = new Set();
const jobs = new Set();
let hasPaid = false; // a job of the run that goes on is over; what it made is collected by the run's end
const looks = new Set();
const BETWEEN = 5000; // milliseconds between two looks

// A function that takes a callback into a set and gives one that takes it out again.
function subscription(callbacks) {
  return (callback) => {
    callbacks.add(callback);
    return () => callbacks.delete(callback);
  };
}

/** Calls back with each change of a download, and whether it is news to this page; gives a function that ends it. */
export const onDownload = subscription(listeners);

/** Calls back when the server is here again after it was away: events in between are lost. */
export const onReconnected = subscription(again);

/** Calls back when a person looks at the page again: another tab may have changed what is shown; gives a function that ends it. */
export const onLook = subscription(looks);

/** Calls back when something about CivitAI Link changed; gives a function that ends it. */
export const onLink = subscription(linked);

/** Calls back when a job is over, and when its run is, so that what was paid or waits may be another sum; gives a function that ends it. */
export const onPaid = subscription(jobs);

function note(download, isNews = true) {
  if (typeof download?.reference !== "string") return;
  downloads.set(download.reference, download);
  for (const callback of listeners) callback(download, isNews);
}

/** Whether a download is under way. */
export function isLoading(reference) {
  return downloads.get(reference)?.status === "loading";
}

/** Have the server load a file; gives its answer. */
export async function startDownload(reference) {
  const given = await server.post("/civitai_bridge/download", { reference, client_id: api.clientId });
  const last = given.status === 200 ? downloads.get(given.data.reference) : null;
  const isOver = last?.id === given.data.id && last?.status !== "loading"; // its end may be here before this answer
  if (given.status === 200 && !isOver) note(given.data);
  return given;
}

/** A person's cancel; what is there is kept for the next time. */
export function cancelDownload(reference) {
  return server.post("/civitai_bridge/download/cancel", { id: downloads.get(reference)?.id ?? "" });
}

/** Ask how far all downloads are, and to be told how those under way go on. What ended before this page looked is no news;
 * one that the server does not know any more is lost: it was started again. */
export async function readDownloads() {
  const before = new Map(downloads);
  const given = await server.get(`/civitai_bridge/downloads?client_id=${encodeURIComponent(api.clientId ?? "")}`);
  if (given.status !== 200) return;
  const told = given.data.downloads ?? [];
  for (const download of told) note(download, download.status === "loading" || isLoading(download.reference));
  for (const [reference, download] of before) {
    const isSame = downloads.get(reference) === download; // else the server told of it after it was asked
    if (isSame && download.status === "loading" && !told.some((each) => each.reference === reference)) note({ ...download, status: "lost" });
  }
}

function paid(isRunning) {
  hasPaid = isRunning;
  for (const callback of jobs) callback();
}

/** Listen to the server; once. */
export function listen() {
  api.addEventListener("civitai_bridge.download", ({ detail }) => note(detail));
  api.addEventListener("civitai_bridge.link", () => {
    for (const callback of linked) callback();
  });
  api.addEventListener("civitai_bridge.job", ({ detail }) => {
    if (detail?.phase === "done") paid(true);
  });
  for (const event of ["execution_success", "execution_error", "execution_interrupted"]) {
    api.addEventListener(event, () => hasPaid && paid(false));
  }
  api.addEventListener("reconnected", () => {
    if (downloads.size) readDownloads();
    for (const callback of again) callback();
  });
  let lookedAt = performance.now();
  const look = () => {
    if (document.hidden || performance.now() - lookedAt < BETWEEN) return;
    lookedAt = performance.now();
    for (const callback of looks) callback();
  };
  document.addEventListener("visibilitychange", look);
  window.addEventListener("focus", look);
}
