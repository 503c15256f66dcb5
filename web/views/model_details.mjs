// One model of the graph: all that is known of it, its trigger words, its other files, a newer version.
import { addToPrompt, setInput } from "../frontend/graph.mjs";
import { size, t } from "../frontend/i18n.mjs";
import { allFromServer, fromServer } from "../frontend/sentences.mjs";
import { isLoading } from "../frontend/progress.mjs";
import { openPage, say as toast } from "../frontend/toasts.mjs";
import { isLoadable, otherName, searchWords } from "../lib/models.mjs";
import { button, h, sentence } from "./make.mjs";
import { preview } from "./preview.mjs";

const BRIEF = 5000; // milliseconds

/** The elements of the details of a row; `get`, `show` and `say` are what the view does. */
export function detailsOf(row, { get, show, say }) {
  const parts = [facts(row), notes(row), triggerWords(row, say), newer(row, get)];
  const actions = [
    isLoadable(row) && !isLoading(row.reference) ? button(size(row.size) ? t("models.get_size", { size: size(row.size) }) : t("models.get"), () => get(row), { class: "cb-button cb-main" }) : null,
    row.node ? button(t("models.show_node"), () => show(row)) : null,
    otherName(row) ? button(t("models.use_file"), () => use(row, say)) : null,
    searchOf(row) ? button(t("models.search"), () => openPage(searchOf(row))) : null,
    pageOf(row) ? button(t("models.open_page"), () => openPage(pageOf(row))) : null,
  ];
  return [heading(row), h("div", { class: "cb-row" }, ...actions), ...parts].filter(Boolean); // what is added as null would be written as a word
}

function heading(row) {
  return h("div", { class: "cb-row" }, preview(row.preview, row.rating, row.name), h("h3", { class: "cb-grow" }, row.name));
}

function facts(row) {
  const pairs = [
    ["models.status", t(`models.state.${row.state}`)],
    ["models.needed_by", row.title],
    ["models.file", row.file],
    ["models.size", size(row.size)],
    ["models.base_model", row.baseModel],
    ["models.license", allFromServer(row.license)],
    ["models.early_access_until", row.earlyAccess && (row.earlyAccess.until || t("common.yes"))],
    ["models.restricted", fromServer(row.restricted)],
    ["models.named", row.written !== row.name ? row.written : ""],
    ["models.reference", row.reference !== row.written ? row.reference : ""],
  ];
  return h("dl", { class: "cb-facts" }, ...pairs.filter(([, value]) => value).flatMap(([key, value]) => [h("dt", {}, t(key)), h("dd", {}, String(value))]));
}

function notes(row) {
  return row.notes.length ? h("div", { class: "cb-soft" }, ...row.notes.map((line) => h("div", {}, ...sentence(fromServer(line))))) : null;
}

function triggerWords(row, say) {
  if (!row.words.length) return null;
  const words = row.words.map((word) => h("button", { type: "button", class: "cb-word", title: t("models.add_word"), onclick: () => addWord(word, say) }, word));
  return h("div", {}, h("div", { class: "cb-soft" }, t("models.trigger_words")), h("div", { class: "cb-words" }, ...words));
}

async function addWord(word, say) {
  const node = addToPrompt(word);
  if (node) return tell(t("models.word_added", { word, node: node.title ?? node.type }), say);
  try {
    await navigator.clipboard.writeText(word);
    tell(t("models.word_copied", { word }), say);
  } catch {
    tell(t("models.word_nowhere"), say);
  }
}

// What happened elsewhere on the page, for eyes and ears.
function tell(text, say) {
  toast("info", text, "", BRIEF);
  say(text);
}

function newer(row, get) {
  if (!row.newer) return null;
  const { version, name } = row.newer;
  const load = button(t("models.get_newer"), () => get({ reference: String(version), name: `${row.name} ${name}` }));
  return h("div", { class: "cb-row" }, h("span", { class: "cb-grow" }, t("models.newer", { name })), load);
}

function use(row, say) {
  tell(t(setInput(row.node, row.input, otherName(row)) ? "models.file_used" : "models.node_gone", { file: otherName(row) }), say);
}

function searchOf(row) {
  if (row.modelId || row.reference || !["unknown", "missing", "not_found"].includes(row.state)) return "";
  return `https://civitai.com/search/models?query=${encodeURIComponent(searchWords(row.name))}`;
}

function pageOf(row) {
  if (!row.modelId) return "";
  const version = row.version ? `?modelVersionId=${row.version}` : "";
  return `https://civitai.com/models/${row.modelId}${version}`;
}
