// What the graph on the canvas needs: each model with its state, what is missing with a press to get it.
import { size, t } from "../frontend/i18n.mjs";
import { currentPrompt, onGraph, showNode } from "../frontend/graph.mjs";
import { cancelDownload, downloads, isLoading, onDownload, onLook, onReconnected, readDownloads, startDownload } from "../frontend/progress.mjs";
import { fromServer } from "../frontend/sentences.mjs";
import { server } from "../frontend/server.mjs";
import { setBadge } from "../frontend/tab.js";
import { isAddable, isLoadable, isWanted, noteOf, rowsOf, summaryOf, withWhatIsKnown } from "../lib/models.mjs";
import { short } from "../lib/values.mjs";
import { VirtualList } from "./list.mjs";
import { button, h, keepKeys, notice } from "./make.mjs";
import { detailsOf } from "./model_details.mjs";
import { goOn, refusal, sentenceOf } from "./refusal.mjs";

const ROW = 56; // pixels
const REST = 700; // milliseconds after the last change of the graph
let answer = null; // the server's last one; outlives the element
let filter = "";

export class ModelsView {
  constructor(say) {
    this.say = say;
    this.isShown = false;
    this.summary = h("div", { class: "cb-grow", id: "cb-models-summary" });
    this.all = button(t("models.get_all"), () => this.getAll(), { class: "cb-button cb-main" });
    this.again = button(h("i", { class: "pi pi-refresh", "aria-hidden": "true" }), () => this.load(true), { class: "cb-button cb-icon", "aria-label": t("common.refresh"), title: t("common.refresh") });
    const field = h("input", { class: "cb-field", type: "search", placeholder: t("models.filter"), "aria-label": t("models.filter") });
    field.value = filter;
    field.addEventListener("input", () => {
      filter = field.value;
      this.draw();
    });
    const search = h("div", { class: "cb-search" }, h("i", { class: "pi pi-search", "aria-hidden": "true" }), keepKeys(field));
    this.bar = h("div", { class: "cb-head-bar" }, h("div", { class: "cb-row" }, search, this.again), h("div", { class: "cb-row" }, this.summary, this.all));
    this.list = new VirtualList({ label: t("panel.models"), rowHeight: ROW, fill: (row, item) => this.fill(row, item), select: (item) => this.choose(item) });
    this.body = h("div", { class: "cb-view", style: "display:contents" });
    this.note = h("div", { class: "cb-soft cb-note-line", hidden: true }); // why more may be known than is shown
    this.failure = h("div", { role: "alert", hidden: true }); // stays until it is closed, whatever is drawn meanwhile
    this.details = h("div", { class: "cb-details", role: "region", "aria-label": t("models.details"), hidden: true });
    this.element = h("div", { class: "cb-view" },
      h("div", { class: "cb-head" }, this.bar, this.note),
      this.body, this.list.element, this.failure, this.details);
    this.forget = [onGraph(() => this.later()), onDownload((each, isNews) => this.moved(each, isNews)), onReconnected(() => this.lookAgain()), onLook(() => this.lookAgain())];
    this.draw();
  }

  start() {
    this.isShown = true;
    this.load(false);
    readDownloads();
  }

  pause() {
    this.isShown = false;
    clearTimeout(this.timer);
  }

  /** What is here, and what loads, may have changed meanwhile. */
  lookAgain() {
    if (!this.isShown || !this.element.isConnected) return;
    this.load(false);
    readDownloads();
  }

  stop() {
    this.pause();
    this.asking?.abort();
    this.list.stop();
    for (const forget of this.forget) forget?.();
  }

  later() {
    clearTimeout(this.timer);
    if (!this.element.isConnected) return void setBadge(0); // the tab may be gone without a word, and its number is of the graph before
    this.timer = setTimeout(() => this.load(false), REST);
  }

  /** Ask the server about the graph as it is; `ask` also asks CivitAI about what is not known here. */
  async load(ask) {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    this.asking?.abort(); // a browser has few connections, and a run needs one
    const { signal } = (this.asking = new AbortController());
    this.element.setAttribute("aria-busy", "true");
    const { output, workflow } = await currentPrompt().catch(() => ({}));
    if (!output) return void this.take({ status: 400, data: { error: t("models.no_graph") } });
    const quick = await server.post("/civitai_bridge/graph", { prompt: output, workflow, models: "local" }, { signal });
    if (quick.status === 200) quick.data.models = withWhatIsKnown(quick.data.models, answer?.models);
    const images = (quick.status === 200 && quick.data.images) || []; // only CivitAI knows what made them
    const isKnown = images.length > 0 && JSON.stringify(images) === JSON.stringify(answer?.images);
    if (turn === this.turn && !isKnown) this.take(quick);
    if (!this.isShown) return void this.element.removeAttribute("aria-busy"); // CivitAI is asked when somebody looks
    if (images.length || (quick.status === 200 && quick.data.models?.length && (ask || turn === 1 || rowsOf(quick.data.models).some((row) => row.isMissing)))) {
      const whole = await server.post("/civitai_bridge/graph", { prompt: output, workflow, models: "asked" }, { signal });
      if (turn === this.turn) this.take(whole.status === 200 ? whole : quick, whole);
    }
    if (turn === this.turn) this.element.removeAttribute("aria-busy");
  }

  /** Show an answer; `whole` is the one with what CivitAI says, where it was asked. */
  take(given, whole = given) {
    this.trouble = given.status === 200 ? null : given;
    if (given.status === 200) answer = whole.status === 200 ? given.data : { ...given.data, models_note: sentenceOf(whole) };
    this.draw();
    if (!this.trouble) goOn(whole, this.note, () => this.isShown && this.load(true));
    if (!this.trouble && this.isShown) this.say(this.summary.textContent);
  }

  draw() {
    const rows = rowsOf(answer?.models, filter);
    const every = rowsOf(answer?.models);
    const { count, missing, bytes } = summaryOf(every);
    this.summary.textContent = count ? t(missing ? "models.summary_missing" : "models.summary", { count, missing }) : "";
    this.all.hidden = !every.some(isWanted);
    this.all.textContent = bytes ? t("models.get_all_size", { size: size(bytes) }) : t("models.get_all");
    this.bar.hidden = this.trouble?.status === 401; // there is nothing yet to look through
    setBadge(missing);
    this.note.textContent = this.trouble ? "" : short(fromServer(noteOf(answer)), 400);
    this.note.hidden = !this.note.textContent;
    this.body.replaceChildren(...this.wordsInstead(rows, count));
    this.list.element.hidden = rows.length === 0;
    this.list.show(rows);
    if (this.chosen) this.choose(rows.find((row) => row.key === this.chosen.key) ?? null);
  }

  wordsInstead(rows, count) {
    if (this.trouble) return [refusal(this.trouble, () => this.load(true))];
    if (!answer) return [notice(t("common.asking"))];
    if (count === 0) return [notice(t("models.none"))];
    return rows.length === 0 ? [notice(t("models.none_fits"))] : [];
  }

  fill(element, row) {
    element.classList.toggle("cb-part", row.isPart);
    const about = [row.kind && kindText(row.kind), size(row.size), row.baseModel, row.earlyAccess && t("models.early_access"), row.isMissing && fromServer(row.license[0]), row.newer && t("models.has_newer")];
    const isUnderWay = row.reference && isLoading(row.reference);
    const words = isUnderWay ? [percent(row), size(row.size)] : [t(`models.state.${row.state}`), ...about];
    element.append(
      h("div", { class: "cb-dot", "data-status": row.state, "aria-hidden": "true", title: t(`models.state.${row.state}`) }),
      h("div", { class: "cb-text", role: "gridcell" },
        h("div", { class: "cb-name", title: row.name }, row.name),
        h("div", { class: "cb-sub", title: about.filter(Boolean).join(" · ") }, words.filter(Boolean).join(" · "))),
      h("div", { class: "cb-cell", role: "gridcell" }, ...this.actions(row)));
  }

  actions(row) {
    if (row.reference && isLoading(row.reference)) {
      const share = shareOf(row);
      const inside = h("div", { style: `width:${share ?? 30}%` });
      return [
        h("div", { class: "cb-meter", role: "progressbar", "aria-label": t("models.loading", { name: row.name }), "aria-valuenow": share, "aria-valuemin": 0, "aria-valuemax": 100 }, inside),
        button(t("common.cancel"), () => cancelDownload(row.reference), { "aria-label": t("models.cancel_of", { name: row.name }) }),
      ];
    }
    if (isLoadable(row)) {
      return [button(t("models.get"), () => this.get(row), { "aria-label": t("models.get_of", { name: row.name }) })];
    }
    if (isAddable(row)) return [button(t("models.add"), () => this.add(row), { "aria-label": t("models.add_of", { name: row.name }) })];
    return [];
  }

  choose(row) {
    this.chosen = row;
    this.chosenLoads = Boolean(row?.reference) && isLoading(row.reference);
    this.details.hidden = !row;
    const shape = JSON.stringify(row);
    if (!row || shape === this.shape) return; // the focus, and a picture that was looked at, stay
    this.shape = shape;
    this.details.replaceChildren(...detailsOf(row, { get: (each) => this.get(each), show: (each) => showNode(each.node), say: this.say }));
  }

  /** Have a file loaded; gives whether the server answered. */
  async get(row) {
    this.failure.hidden = true;
    this.say(t("models.loading", { name: row.name }));
    const given = await startDownload(row.reference);
    if (given.status !== 200) this.object(given, () => this.get(row));
    return given.status !== 0;
  }

  /** Write a file that is here into the catalog. */
  async add(row) {
    const given = await server.post(`/admin/civitai/add/${row.version}`, {});
    if (given.status !== 200) return this.object(given, () => this.add(row));
    this.say(t("models.added", { name: row.name }));
    return this.load(false);
  }

  object(given, again) {
    const close = () => {
      this.failure.hidden = true;
      this.failure.replaceChildren();
    };
    const box = refusal(given, () => {
      close();
      return again();
    });
    box.append(button(t("common.close"), close));
    this.failure.replaceChildren(box);
    this.failure.hidden = false;
  }

  async getAll() {
    for (const row of rowsOf(answer?.models).filter(isWanted)) if (!(await this.get(row))) return;
  }

  /** A download went on, or ended. */
  moved(each, isNews) {
    if (!this.element.isConnected) return;
    this.list.refresh((row) => row.reference === each.reference);
    if (this.chosen?.reference === each.reference && this.chosenLoads !== isLoading(each.reference)) this.choose(this.chosen);
    if (each.status === "loading" || !isNews) return;
    const name = each.name || each.reference;
    const error = each.status === "lost" ? t("models.interrupted", { name }) : fromServer(each.error);
    this.say(error || (each.status === "done" ? t("models.loaded", { name }) : ""));
    if (each.status === "failed" || each.status === "lost") this.object({ status: 500, data: { error } }, () => this.get({ ...each, name }));
    this.later();
  }
}

function shareOf(row) {
  const load = downloads.get(row.reference);
  return load.of_bytes ? Math.round((100 * load.bytes) / load.of_bytes) : null;
}

function percent(row) {
  const share = shareOf(row);
  return share === null ? "" : `${share} %`;
}

export function kindText(kind) {
  const key = `models.kind.${kind}`;
  const text = t(key);
  return text === key ? kind : text;
}
