// What the paying nodes of a graph would cost now, as CivitAI says; nothing is bought.
import { showPrice } from "../frontend/jobs.mjs";
import { number, t } from "../frontend/i18n.mjs";
import { allFromServer, fromServer } from "../frontend/sentences.mjs";
import { server } from "../frontend/server.mjs";
import { pricesIn } from "../lib/prices.mjs";
import { h, sentence } from "./make.mjs";
import { sentenceOf } from "./refusal.mjs";

/** Ask, and give lines for people. `node` asks for one node alone. */
export async function pricesOf({ output, workflow }, node = null) {
  const given = await server.post("/civitai_bridge/price", { prompt: output, workflow, ...(node === null ? {} : { node: String(node) }) });
  if (given.status !== 200) return [h("p", { class: "cb-bad" }, sentenceOf(given))];
  const { nodes, total } = pricesIn(given.data);
  if (!nodes.length) return [h("p", { class: "cb-soft" }, t("price.none"))];
  for (const each of nodes) if (each.buzz !== null) showPrice(each.node, each.buzz);
  const lines = nodes.map((each) => h("li", {}, ...sentence(each.error ? each.title + t("common.colon") + fromServer(each.error) : [t("price.of_node", { title: each.title, buzz: number(each.buzz) }), allFromServer(each.notes)].join(" "))));
  return [h("ul", {}, ...lines), nodes.length > 1 && total !== null ? h("strong", {}, t("price.total", { buzz: number(total) })) : ""];
}
