// Elements, made of names, properties and children. A child that is a string becomes text, never HTML.
import { short } from "../lib/values.mjs";

const EXACT = new Set(["value", "href"]); // what is read again, and not by people

/** `h("button", { class: "cb-button", onclick, "aria-label": … }, "Text", element)`; null children are left out. */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") element.style.cssText = value;
    else element.setAttribute(key, value === true ? "" : EXACT.has(key) ? String(value) : short(value));
  }
  const present = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  element.append(...present.map((child) => (child instanceof Node ? child : short(child))));
  return element;
}

/** A button that cannot be pressed again while what it does is under way. */
export function button(label, run, properties = {}) {
  const element = h("button", { type: "button", class: "cb-button", ...properties }, label);
  element.addEventListener("click", async (event) => {
    event.stopPropagation();
    if (element.getAttribute("aria-disabled") === "true") return;
    element.setAttribute("aria-disabled", "true"); // `disabled` would take the focus away
    try {
      await run();
    } finally {
      element.removeAttribute("aria-disabled");
    }
  });
  return element;
}

/** A sentence as text; what stands between backticks is a command to copy. */
export function sentence(text) {
  return String(text ?? "")
    .split("`")
    .map((part, index) => (index % 2 ? h("code", { class: "cb-code" }, part) : part));
}

/** A box with something to say where a list or a section would be. */
export function notice(text, ...actions) {
  return h("div", { class: "cb-notice" }, h("p", {}, ...sentence(text)), actions.length ? h("div", { class: "cb-row" }, ...actions) : null);
}

/** No key that is pressed inside reaches the canvas behind; Escape still closes a dialog. */
export function keepKeys(element) {
  element.addEventListener("keydown", (event) => event.stopPropagation());
  return element;
}
