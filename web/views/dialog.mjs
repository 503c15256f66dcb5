// A dialog of our own, modal, in the page's top layer. No key that is pressed in it reaches ComfyUI behind.
import { h, keepKeys } from "./make.mjs";
import { dress } from "./style.mjs";

let count = 0;

/**
 * Open a dialog; `draw(dialog, close)` fills it with `dialog.fill(main, footer)`. Resolves with what `close` is given;
 * with false for Escape.
 */
export function openDialog(title, draw) {
  dress();
  const back = document.activeElement;
  const id = `cb-dialog-${(count += 1)}`;
  const main = h("main", {});
  const footer = h("footer", {});
  const element = h("dialog", { class: "cb-dialog", "aria-labelledby": id }, h("div", {}, h("header", {}, h("h2", { id }, title)), main, footer));
  element.fill = (body, buttons) => {
    main.replaceChildren(...body.filter(Boolean));
    footer.replaceChildren(...buttons.filter(Boolean));
  };
  keepKeys(element); // ComfyUI 1.35 queues a run at Ctrl+Enter through a modal dialog
  document.body.append(element);
  return new Promise((resolve) => {
    const close = (value) => {
      element.returned = value;
      element.close();
    };
    element.addEventListener("close", () => {
      element.remove();
      back?.focus?.();
      resolve(element.returned ?? false);
    });
    element.showModal();
    draw(element, close);
  });
}
