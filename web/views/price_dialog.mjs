// The prices of a graph, in a dialog.
import { loadWords, t } from "../frontend/i18n.mjs";
import { openDialog } from "./dialog.mjs";
import { button, h } from "./make.mjs";
import { pricesOf } from "./prices.mjs";

/** Ask what the graph, or one node of it, would cost now, and show it. */
export async function showPrices(prompt, node) {
  await loadWords();
  return openDialog(t("price.title"), async (dialog, close) => {
    const done = button(t("common.close"), () => close(true));
    const place = h("div", { role: "status" }, t("common.asking"));
    dialog.fill([place, h("p", { class: "cb-soft" }, t("price.nothing_bought"))], [done]);
    done.focus();
    place.replaceChildren(...(await pricesOf(prompt, node)));
  });
}
