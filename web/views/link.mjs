// CivitAI Link: a code pairs this machine with CivitAI's page; what a room asks for is shown, asked about, and undone.
import { language, t } from "../frontend/i18n.mjs";
import { onLink } from "../frontend/progress.mjs";
import { allFromServer, fromServer } from "../frontend/sentences.mjs";
import { server } from "../frontend/server.mjs";
import { codeOf, detailOf, linesOfLog, linkOf, stateWords, wireWord } from "../lib/link.mjs";
import { button, h, keepKeys } from "./make.mjs";
import { goOn, sentenceOf } from "./refusal.mjs";

const PATH = "/civitai_bridge/link";
const EVERY = 3000; // milliseconds between two looks while it is paired and shown

export class LinkSection {
  constructor(say) {
    this.say = say;
    this.again = () => this.isAsking || this.load();
    this.status = h("div", { role: "status" });
    this.place = h("div", { style: "display:flex;flex-direction:column;gap:8px" });
    this.log = h("ul", { class: "cb-log", "aria-label": t("link.log") });
    this.logBox = h("details", { ontoggle: () => this.readLog() }, h("summary", {}, t("link.log")), this.log);
    this.input = h("input", { class: "cb-field", type: "text", autocomplete: "off", spellcheck: "false", "aria-label": t("link.code"), placeholder: t("link.code") });
    this.enter = button(t("link.pair"), () => this.pair());
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.enter.click();
    });
    this.code = keepKeys(h("div", { class: "cb-row cb-wide" }, this.input, this.enter));
    this.help = h("div", { class: "cb-soft" }, t("link.how"));
    this.element = h("section", { "aria-label": t("link.title") }, h("h3", {}, t("link.title")), this.status, this.place, this.help, this.code, this.logBox);
    this.element.hidden = true;
  }

  start() {
    this.pause();
    this.timer = setInterval(() => this.element.isConnected && this.isPaired && !this.isAsking && this.load(), EVERY);
    this.forget = onLink(() => this.element.isConnected && this.load());
    return this.load();
  }

  pause() {
    clearInterval(this.timer);
    this.forget?.();
  }

  async load() {
    this.isAsking = true; // questions to a server that hangs would fill the browser's few connections
    const given = await server.get(PATH).finally(() => (this.isAsking = false));
    this.element.hidden = given.status === 404; // a server without it
    if (given.status === 401) return void server.whenToken(this.again);
    goOn(given, this.status, this.again);
    if (given.status !== 200) return void this.status.replaceChildren(sentenceOf(given));
    return this.draw({ ...linkOf(given.data), sentence: allFromServer([stateWords(given.data, t), detailOf(given.data)]) });
  }

  draw(link) {
    this.isPaired = link.isPaired;
    if (this.status.textContent !== link.sentence) this.status.textContent = link.sentence;
    this.help.hidden = link.isPaired;
    this.code.hidden = link.isPaired;
    const shape = JSON.stringify(link);
    if (shape === this.shape) return; // the focus stays where it is
    this.shape = shape;
    this.place.replaceChildren(...link.questions.map((each) => this.question(each)), ...link.activities.map((each) => this.activity(each)), ...this.trash(link), ...this.leave(link));
    if (this.logBox.open) this.readLog();
  }

  question({ number, sentence: asked }) {
    const sentence = fromServer(asked);
    const answer = (allow) => this.post("answer", { number, allow });
    return h("div", { class: "cb-row", role: "group", "aria-label": sentence }, h("span", { class: "cb-grow" }, sentence), button(t("link.allow"), () => answer(true)), button(t("link.deny"), () => answer(false)));
  }

  activity({ id, type, status, share }) {
    const words = [wireWord("type", type, t), wireWord("status", status, t), share === null ? "" : `${share} %`].filter(Boolean).join(" · ");
    return h("div", { class: "cb-row" }, h("span", { class: "cb-grow" }, words), id ? button(t("common.cancel"), () => this.post("cancel", { id }), { "aria-label": t("link.cancel_of", { name: words }) }) : null);
  }

  trash({ trash }) {
    return trash ? [h("div", { class: "cb-row" }, h("span", { class: "cb-grow" }, t("link.trash", { count: trash })), button(t("link.show_trash"), () => this.showTrash()))] : [];
  }

  leave({ isPaired }) {
    return isPaired ? [h("div", { class: "cb-row" }, button(t("link.unpair"), () => this.post("unpair", {})))] : [];
  }

  async pair() {
    const code = codeOf(this.input.value);
    if (!code) return void (this.status.textContent = t("link.no_code"));
    this.input.value = "";
    return this.post("pair", { code });
  }

  async post(name, body) {
    const given = await server.post(`${PATH}/${name}`, body);
    this.shape = "";
    if (given.status !== 200) {
      this.status.textContent = sentenceOf(given);
      return this.say(this.status.textContent);
    }
    await this.load();
    return this.say(this.status.textContent);
  }

  async showTrash() {
    const given = await server.get(`${PATH}/trash`);
    if (given.status !== 200) return void (this.status.textContent = sentenceOf(given));
    const rows = (given.data.removed ?? []).map((each) => h("div", { class: "cb-row" }, h("span", { class: "cb-grow" }, String(each.name ?? "")), button(t("link.restore"), () => this.post("trash/restore", { number: each.number }), { "aria-label": t("link.restore_of", { name: String(each.name ?? "") }) })));
    this.place.append(...rows);
    return rows[0]?.querySelector("button")?.focus();
  }

  async readLog() {
    if (!this.logBox.open) return;
    const given = await server.get(`${PATH}/log`);
    if (given.status !== 200) return void this.log.replaceChildren(h("li", {}, sentenceOf(given)));
    const lines = linesOfLog(given.data);
    const when = new Intl.DateTimeFormat(language(), { dateStyle: "short", timeStyle: "short" });
    this.log.replaceChildren(...(lines.length ? lines.map((line) => h("li", {}, logLine(line, when))) : [h("li", { class: "cb-soft" }, t("link.no_log"))]));
  }
}

function logLine({ at, type, subject, outcome, detail }, when) {
  return [at ? when.format(at) : "", wireWord("type", type, t), subject, wireWord("status", outcome, t), fromServer(detail)].filter(Boolean).join(" · ");
}
