// Whose key this is, what was spent, what waits to be fetched, and what stands between this machine and CivitAI.
import { language, number, t } from "../frontend/i18n.mjs";
import { onLook, onPaid, onReconnected } from "../frontend/progress.mjs";
import { allFromServer, fromServer } from "../frontend/sentences.mjs";
import { server } from "../frontend/server.mjs";
import { openSettings } from "../frontend/settings.js";
import { accountOf, findingOf } from "../lib/account.mjs";
import { LONG } from "../lib/session.mjs";
import { keyField } from "./key_field.mjs";
import { LinkSection } from "./link.mjs";
import { button, h, notice, sentence } from "./make.mjs";
import { refusal, sentenceOf } from "./refusal.mjs";

const PATH = "/civitai_bridge/account";
const MOST = 20; // lines of what waits

export class AccountView {
  constructor(say) {
    this.say = say;
    this.element = h("div", { class: "cb-view" });
    this.key = h("div", {});
    this.fetched = h("div", { role: "status", class: "cb-soft" }); // what came of collecting; outlives its section
    this.place = h("div", { class: "cb-account" });
    this.element.append(this.place);
    this.forget = [onReconnected(() => this.isShown && this.element.isConnected && this.load()), onPaid(() => this.paid()), onLook(() => this.looked())];
    this.link = new LinkSection(say);
    this.isShown = false;
  }

  start() {
    if (!this.isShown) this.lookAtKey = keyField(this.key, () => this.load());
    this.fetched.textContent = "";
    this.isShown = true;
    this.load();
    this.link.start();
  }

  pause() {
    this.isShown = false;
    this.link.pause();
  }

  stop() {
    this.pause();
    for (const forget of this.forget) forget();
  }

  /** What was spent is another sum; whoever writes in a field here is not interrupted. */
  paid() {
    const focused = document.activeElement;
    if (this.isShown && this.element.isConnected && !(this.element.contains(focused) && focused.matches("input"))) this.load();
  }

  /** Another tab may have changed the key and what is spent. */
  looked() {
    if (this.isShown && this.element.isConnected) this.lookAtKey();
    this.paid();
  }

  async load() {
    if (!this.place.childElementCount) this.place.replaceChildren(notice(t("common.asking")));
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const given = await server.get(PATH);
    if (!this.isShown || turn !== this.turn) return; // what was asked before a change is not shown after it
    if (this.isAway && given.status === 200) {
      this.lookAtKey(); // neither was in the page meanwhile
      this.link.load();
    }
    this.isAway = given.status !== 200;
    const sections = given.status === 200 ? this.sections(accountOf(given.data)) : [refusal(given, () => this.load())];
    const key = given.status === 401 || given.status === 0 ? [] : [section("account.key", this.key)];
    const focused = this.place.contains(document.activeElement) ? document.activeElement : null;
    this.place.replaceChildren(...key, ...sections.filter(Boolean));
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  }

  sections(account) {
    return [whose(account), money(account), this.waiting(account), this.link.element, this.doctor(account)];
  }

  waiting({ waiting, waitingCount }) {
    const status = this.fetched;
    if (!waiting.length) return section("account.waiting", status, h("div", { class: "cb-soft" }, t("account.nothing_waits")));
    const collect = async (key) => {
      status.textContent = t("account.collecting");
      const given = await server.post("/civitai_bridge/collect", key ? { key } : {}, { patience: LONG });
      const words = given.status === 200 ? fromServer(String(given.data.message ?? "")) : sentenceOf(given);
      if (given.status === 200) await this.load();
      status.textContent = words;
      this.say(words);
    };
    const lines = waiting.slice(0, MOST).map((each) => waitingLine(each, collect));
    const more = waitingCount > MOST ? h("div", { class: "cb-soft" }, t("common.more", { count: waitingCount - MOST })) : null;
    const all = waitingCount > 1 ? h("div", { class: "cb-row" }, button(t("account.collect_all", { count: waitingCount }), () => collect(""), { class: "cb-button cb-main" })) : null;
    return section("account.waiting", ...lines, more, all, status);
  }

  doctor({ findings }) {
    const place = h("div", { class: "cb-list-plain" });
    const show = (list) => place.replaceChildren(...list.map(({ topic, isWell, lines }) => h("div", { class: isWell ? "cb-soft" : "cb-bad" }, h("strong", {}, topicOf(topic)), ...sentence(allFromServer(lines)))));
    const look = button(t("account.check"), async () => {
      place.textContent = t("common.asking");
      const given = await server.get("/civitai_bridge/doctor", { patience: LONG });
      if (given.status === 200) show((given.data.findings ?? []).map(findingOf));
      else place.textContent = sentenceOf(given);
      this.say(t("account.checked"));
    });
    show(findings.filter(({ state }) => state !== "ok"));
    return section("account.doctor", place, h("div", { class: "cb-row" }, look));
  }
}

function waitingLine(each, collect) {
  const when = each.created ? new Intl.DateTimeFormat(language(), { dateStyle: "short", timeStyle: "short" }).format(each.created) : "";
  const about = [when, each.cost === null ? "" : t("account.buzz", { buzz: number(each.cost) }), t("consent.quantity", { count: each.pictures }), each.workflow].filter(Boolean);
  return h("div", { class: "cb-row" },
    h("div", { class: "cb-text" }, h("div", { class: "cb-name", title: each.prompt || each.name }, each.name), h("div", { class: "cb-sub" }, about.join(" · ")), each.error ? h("div", { class: "cb-bad" }, fromServer(each.error)) : null),
    button(t("account.collect"), () => collect(each.key), { "aria-label": t("account.collect_of", { name: each.name }) }));
}

export function section(key, ...children) {
  return h("section", { "aria-label": t(key) }, h("h3", {}, t(key)), ...children);
}

function whose({ user, wallets, notes }) {
  if (!user && !wallets.length && !notes.length) return null;
  const purse = wallets.flatMap(({ name, buzz }) => [h("dt", {}, walletName(name)), h("dd", {}, t("account.buzz", { buzz: number(buzz) }))]);
  return section("account.whose", user ? h("div", {}, user) : null, purse.length ? h("dl", { class: "cb-facts" }, ...purse) : null, ...notes.map((note) => h("div", { class: "cb-soft" }, ...sentence(fromServer(note)))));
}

function topicOf(topic) {
  const key = `account.topics.${topic}`;
  const text = t(key);
  return (text === key ? topic : text) + t("common.colon");
}

function walletName(name) {
  const key = `account.wallets.${name}`;
  const text = t(key);
  return text === key ? name : text;
}

function money({ spent, today, month, perDay, perPrompt, sandbox }) {
  const share = perDay > 0 ? Math.min(100, (100 * spent) / perDay) : 0;
  const rows = [
    ["account.today", today],
    ["account.month", month],
    ["account.limit_prompt", perPrompt],
  ].filter(([, buzz]) => buzz !== null);
  return section("account.money",
    sandbox ? h("div", { class: "cb-soft" }, t("consent.sandbox")) : null,
    h("div", {}, perDay === null ? t("account.spent", { buzz: number(spent) }) : t("account.spent_of", { buzz: number(spent), limit: number(perDay) })),
    perDay ? h("div", { class: "cb-meter cb-wide", role: "meter", "aria-label": t("account.money"), "aria-valuenow": spent, "aria-valuemin": 0, "aria-valuemax": perDay }, h("div", { style: `width:${share}%` })) : null,
    h("dl", { class: "cb-facts" }, ...rows.flatMap(([key, buzz]) => [h("dt", {}, t(key)), h("dd", {}, t("account.buzz", { buzz: number(buzz) }))])),
    h("div", { class: "cb-row" }, button(t("account.change_limits"), () => openSettings())));
}
