// Whose key this is, what was spent, what waits to be fetched, and what stands between this machine and CivitAI.
import { number, t } from "../frontend/i18n.js";
import { onReconnected } from "../frontend/progress.js";
import { server } from "../frontend/server.js";
import { openSettings } from "../frontend/settings.js";
import { accountOf } from "../lib/account.mjs";
import { keyField } from "./key_field.mjs";
import { button, h, notice, sentence } from "./make.mjs";
import { refusal, sentenceOf } from "./refusal.mjs";

const PATH = "/civitai_bridge/account";

export class AccountView {
  constructor(say) {
    this.say = say;
    this.element = h("div", { class: "cb-view" });
    this.key = h("div", {});
    this.place = h("div", { class: "cb-account" });
    this.element.append(this.place);
    this.forget = onReconnected(() => this.isShown && this.load());
    this.isShown = false;
  }

  start() {
    if (!this.isShown) keyField(this.key, () => this.load());
    this.isShown = true;
    this.load();
  }

  pause() {
    this.isShown = false;
  }

  stop() {
    this.pause();
    this.forget();
  }

  async load() {
    if (!this.place.childElementCount) this.place.replaceChildren(notice(t("common.asking")));
    const given = await server.get(PATH);
    if (!this.isShown) return;
    const sections = given.status === 200 ? this.sections(accountOf(given.data)) : [refusal(given, () => this.load())];
    const key = given.status === 401 || given.status === 0 ? [] : [section("account.key", this.key)];
    this.place.replaceChildren(...key, ...sections.filter(Boolean));
  }

  sections(account) {
    return [whose(account), money(account), this.waiting(account), this.doctor(account)];
  }

  waiting({ waiting }) {
    const status = h("div", { role: "status", class: "cb-soft" });
    const collect = async (key) => {
      status.textContent = t("account.collecting");
      const given = await server.post("/civitai_bridge/collect", key ? { key } : {});
      status.textContent = given.status === 200 ? String(given.data.message ?? "") : sentenceOf(given);
      this.say(status.textContent);
      if (given.status === 200) await this.load();
    };
    if (!waiting.length) return section("account.waiting", h("div", { class: "cb-soft" }, t("account.nothing_waits")));
    const lines = waiting.map((each) => h("div", { class: "cb-row" }, h("span", { class: "cb-grow" }, each.text), button(t("account.collect"), () => collect(each.key), { "aria-label": t("account.collect_of", { name: each.text }) })));
    const all = waiting.length > 1 ? button(t("account.collect_all", { count: waiting.length }), () => collect(""), { class: "cb-button cb-main" }) : null;
    return section("account.waiting", ...lines, all, status);
  }

  doctor({ doctor }) {
    const place = h("div", {});
    const show = (checks) => place.replaceChildren(...checks.map((check) => h("div", { class: check.isWell ? "" : "cb-bad" }, h("strong", {}, `${check.name}: `), ...sentence(check.text))));
    const look = button(t("account.check"), async () => {
      place.textContent = t("common.asking");
      const given = await server.get("/civitai_bridge/doctor");
      if (given.status === 200) show(accountOf({ doctor: given.data.doctor ?? given.data.checks ?? given.data }).doctor);
      else place.textContent = sentenceOf(given);
      this.say(t("account.checked"));
    });
    if (doctor.length) show(doctor);
    return section("account.doctor", place, h("div", { class: "cb-row" }, look));
  }
}

export function section(key, ...children) {
  return h("section", { "aria-label": t(key) }, h("h3", {}, t(key)), ...children);
}

function whose({ user, wallets }) {
  if (!user && !wallets.length) return null;
  return section("account.whose",
    user ? h("div", {}, user) : null,
    wallets.length ? h("dl", { class: "cb-facts" }, ...wallets.flatMap(({ name, buzz }) => [h("dt", {}, name), h("dd", {}, t("account.buzz", { buzz: number(buzz) }))])) : null);
}

function money({ spent, perDay, perPrompt, sandbox }) {
  const share = perDay > 0 ? Math.min(100, (100 * spent) / perDay) : 0;
  return section("account.money",
    sandbox ? h("div", { class: "cb-soft" }, t("consent.sandbox")) : null,
    h("div", {}, perDay === null ? t("account.spent", { buzz: number(spent) }) : t("account.spent_of", { buzz: number(spent), limit: number(perDay) })),
    perDay ? h("div", { class: "cb-meter cb-wide", role: "meter", "aria-label": t("account.money"), "aria-valuenow": spent, "aria-valuemin": 0, "aria-valuemax": perDay }, h("div", { style: `width:${share}%` })) : null,
    perPrompt === null ? null : h("div", { class: "cb-soft" }, t("account.per_prompt", { limit: number(perPrompt) })),
    h("div", { class: "cb-row" }, button(t("account.change_limits"), () => openSettings())));
}
