// "What will this graph do": the panel before the first run of a graph that pays or writes.
import { number, t } from "../frontend/i18n.mjs";
import { fromServer } from "../frontend/sentences.mjs";
import { server } from "../frontend/server.mjs";
import { asksNothing, cut, linesOf, tellsOfGraph } from "../lib/consent.mjs";
import { button, h, notice } from "./make.mjs";
import { refusal } from "./refusal.mjs";
import { openDialog } from "./dialog.mjs";
import { pricesOf } from "./prices.mjs";

/**
 * Ask a person about a run. `asked` resolves with the server's answer about the graph, and `again()` asks for it anew;
 * `nodes` are the names of ours in it, for when there is none. Resolves with `{hash, most}` of what was agreed to (`{}`
 * where nobody knows what it costs) for Run alone, and where nothing is to be asked, else with false; a yes is kept by the
 * server, with the most Buzz that was shown.
 */
export function askAbout(asked, { prompt, nodes, again }) {
  return openDialog(t("consent.title"), async (dialog, close) => {
    const refuse = button(t("consent.refuse"), () => close(false), { class: "cb-button" });
    dialog.fill([notice(t("common.asking"))], [refuse]);
    refuse.focus();
    const given = await asked;
    if (!dialog.isConnected) return;
    if (asksNothing(given)) close(answerOf(given.data));
    else draw(dialog, close, given, { prompt, nodes, again });
  });
}

// What nobody knows the price of: a person decides, or asks again. What is answered later is shown, and waits for a yes.
function drawUnknown(dialog, close, given, context) {
  const refuse = button(t("consent.refuse"), () => close(false), { class: "cb-button" });
  const show = (next) => dialog.isConnected && draw(dialog, close, next, context);
  const retry = async () => {
    const next = await context.again();
    if (asksNothing(next)) close(answerOf(next.data));
    else show(next);
  };
  const anyway = button(t("consent.run_anyway"), () => close({}));
  const unknown = h("p", {}, t("consent.not_known", { nodes: cut(context.nodes.join(", "), 400) }));
  const why = given.status === 200 ? { status: 0, data: {}, why: "foreign" } : given;
  dialog.fill([unknown, refusal(why, retry, async () => show(await context.again()))], [refuse, anyway]);
  refuse.focus();
}

function draw(dialog, close, given, context) {
  if (!tellsOfGraph(given)) return drawUnknown(dialog, close, given, context);
  const refuse = button(t("consent.refuse"), () => close(false), { class: "cb-button" });
  const view = given.data;
  const run = button(t("consent.run"), async () => {
    await server.post("/civitai_bridge/consent", { hash: view.hash, most_buzz: view.most_buzz }, { patience: 5 });
    close(answerOf(view)); // a yes is a yes, remembered or not
  }, { class: "cb-button cb-main" });
  dialog.fill([cost(view), paying(view), ...lists(view), price(context)], [refuse, run]);
  refuse.focus(); // Enter does nothing that costs
}

function answerOf({ hash, most_buzz: most }) {
  return { hash, most };
}

function cost(view) {
  const most = view.unlimited ? t("consent.unlimited") : view.most_buzz > 0 ? t("consent.most", { buzz: number(view.most_buzz) }) : t("consent.free");
  const before = Number.isFinite(view.agreed) ? h("div", { class: "cb-soft" }, t("consent.agreed_before", { buzz: number(view.agreed) })) : null;
  const sandbox = view.sandbox ? h("div", { class: "cb-soft" }, t("consent.sandbox")) : null;
  const damage = view.damage ? h("div", { class: "cb-bad" }, fromServer(String(view.damage))) : null;
  return h("section", {}, h("div", { class: "cb-big" }, most), sandbox, before, damage, view.most_buzz > 0 ? h("div", { class: "cb-soft" }, t("consent.limits_hold")) : null);
}

function paying(view) {
  return section("consent.pays", view.paying, (node) => {
    const most = Number.isFinite(node.most_buzz) ? t("consent.node_most", { buzz: number(node.most_buzz) }) : t("consent.node_unlimited");
    const what = [node.engine && node.engine !== "auto" ? node.engine : "", node.model, node.quantity ? t("consent.quantity", { count: node.quantity }) : ""].filter(Boolean);
    const line = t(what.length ? "consent.node_of" : "consent.node", { name: cut(node.title || node.type, 80), most, what: what.join(", ") });
    return node.repeats ? `${line} ${t("consent.repeats")}` : line;
  });
}

function lists(view) {
  const deed = (each) => [each.title, fromServer(each.what), each.name].filter(Boolean).join(t("common.colon"));
  return [
    section("consent.writes", view.writes, deed),
    section("consent.downloads", view.downloads, deed),
    section("consent.hosts", view.hosts, fromServer),
    section("consent.notes", view.notes, fromServer),
  ];
}

function section(key, list, text) {
  const { lines, more } = linesOf(list, text);
  if (!lines.length) return null;
  return h("section", {}, h("h3", {}, t(key)), h("ul", {}, ...lines.map((line) => h("li", {}, line)), more ? h("li", {}, t("common.more", { count: more })) : null));
}

function price({ prompt }) {
  const place = h("div", { role: "status" });
  const ask = button(t("price.ask"), async () => {
    place.textContent = t("common.asking");
    place.replaceChildren(...(await pricesOf(prompt)));
  });
  return h("section", {}, ask, place);
}
