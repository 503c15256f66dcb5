// A stranger's picture: fetched through our own route, and blurred until it is clicked when it is rated above PG.
import { t } from "../frontend/i18n.mjs";
import { server } from "../frontend/server.mjs";
import { pageSetting } from "../frontend/settings.js";
import { isAbovePg } from "../lib/pictures.mjs";
import { h } from "./make.mjs";

const remembered = new Map(); // address → object URL, of the last few
const MOST = 60;
const LONGEST = 2000; // letters of an address that the server takes
let asking = null; // ends the question for a picture

/** A button with the picture of an address; nothing where there is none. `rating` is CivitAI's word or number. */
export function preview(address, rating, name) {
  if (!/^https?:/.test(address) || address.length > LONGEST) return null;
  const image = h("img", { alt: "", draggable: "false" });
  const label = h("span", {});
  const box = h("button", { type: "button", class: "cb-picture", "aria-label": t("preview.of", { name }) }, image, label);
  const isHidden = pageSetting("blur") && isAbovePg(rating);
  const blur = (on) => {
    box.dataset.blurred = String(on);
    label.textContent = on ? t("preview.show") : "";
    label.hidden = !on;
    box.setAttribute("aria-pressed", String(!on));
  };
  blur(isHidden);
  if (isHidden) box.addEventListener("click", () => blur(box.dataset.blurred !== "true"));
  else box.disabled = true;
  image.addEventListener("error", () => box.remove());
  fetched(address).then((url) => {
    if (url) image.src = url;
    else box.remove();
  });
  return box;
}

async function fetched(address) {
  asking?.abort(); // of the one that was looked at before: a browser has few connections, and a run needs one
  if (remembered.has(address)) return remembered.get(address);
  asking = new AbortController();
  const { status, data } = await server.bytes(`/civitai_bridge/preview?url=${encodeURIComponent(address)}`, { signal: asking.signal });
  if (status !== 200 || !(data instanceof Blob) || !data.type.startsWith("image/")) return "";
  const url = URL.createObjectURL(data);
  remembered.set(address, url);
  if (remembered.size > MOST) {
    const [oldest, old] = remembered.entries().next().value;
    remembered.delete(oldest);
    URL.revokeObjectURL(old);
  }
  return url;
}
