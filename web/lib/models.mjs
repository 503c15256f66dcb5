// Pure: what the Models view shows of the server's answer about a graph.
import { list, text } from "./values.mjs";

const ALTERNATIVES = new Set(["Model", "Pruned Model", ""]); // files that stand in for each other
const ORDER = { missing: 0, not_found: 1, unknown: 2, present: 3, fleet: 4 };
// What a look at this disk alone tells; the rest is CivitAI's, and stays from the last time that it was asked.
const LOCAL = ["node", "title", "input", "name", "kind", "folder", "place", "component", "reference", "status", "here", "missing", "file", "url", "notes"];

function texts(value) {
  return list(value).map(text).filter(Boolean);
}

/** Rows of a list, what needs a person first; the other files of a model stand under it. */
export function rowsOf(models, filter = "") {
  const wanted = String(filter).trim().toLowerCase();
  const rows = list(models).map(rowOf);
  const shown = rows.filter((row) => !wanted || `${row.name} ${row.kind} ${row.title}`.toLowerCase().includes(wanted));
  shown.sort((a, b) => ORDER[a.state] - ORDER[b.state] || a.at - b.at);
  return shown.flatMap((row) => [row, ...row.parts]);
}

function rowOf(model, at) {
  const row = {
    at,
    key: [model.node, model.input, model.reference, model.name].map(text).join("|"),
    name: text(model.model_name) || text(model.name) || text(model.reference),
    written: text(model.name), // as it stands in the graph
    node: text(model.node),
    title: text(model.title),
    input: text(model.input),
    kind: text(model.kind),
    place: text(model.place),
    file: text(model.file),
    baseModel: text(model.base_model),
    reference: text(model.reference) || text(model.air),
    air: text(model.air),
    version: Number(model.version_id) || 0,
    modelId: Number(model.model_id) || 0,
    state: stateOf(model),
    isMissing: model.missing === true,
    inCatalog: model.status === "present",
    size: Number(model.size) || 0,
    license: texts(model.license?.sentences),
    earlyAccess: model.early_access ? { until: text(model.early_access.until) } : null,
    restricted: text(model.restricted),
    words: texts(model.trigger_words),
    notes: texts(model.notes),
    newer: Number(model.newer?.version_id) > 0 ? { version: Number(model.newer.version_id), name: text(model.newer.name) } : null,
    preview: text(model.preview?.url),
    rating: model.preview?.nsfw_level,
    isPart: false,
  };
  row.parts = list(model.parts).map((part, number) => partOf(row, part, number));
  return row;
}

function partOf(row, part, number) {
  const reference = row.air && part.file_id && !row.air.includes("+") ? `${row.air}+${text(part.file_id)}` : "";
  const isNeeded = part.needed === true && row.place !== "fleet";
  const isMissing = stateOf(part) === "missing" && row.place !== "fleet" && (isNeeded || !ALTERNATIVES.has(text(part.type)));
  return {
    ...row, key: `${row.key}|${number}`, name: text(part.name), written: "", kind: text(part.type), state: stateOf(part),
    reference, file: "", size: Number(part.size) || 0, license: [], words: [], notes: [], parts: [], newer: null,
    preview: "", earlyAccess: null, restricted: "", isMissing, isNeeded, isPart: true,
  };
}

/** Models as the disk has them now, with what CivitAI said of the same ones before. */
export function withWhatIsKnown(models, before) {
  const known = new Map(list(before).filter((each) => each?.air).map((each) => [`${each.reference}|${each.name}`, each]));
  return list(models).map((model) => {
    const earlier = known.get(`${model?.reference}|${model?.name}`);
    if (!earlier || model.air) return model;
    return { ...earlier, ...Object.fromEntries(LOCAL.filter((name) => name in model).map((name) => [name, model[name]])) };
  });
}

/** `present`, `missing`, `not_found`, `unknown`, or `fleet` for what is not needed on this disk; what is here is present,
 * whatever the catalogs hold. */
export function stateOf(model) {
  if (model?.here === true) return "present";
  if (model?.place === "fleet") return "fleet";
  if (model?.missing === true) return "missing";
  const status = text(model?.status);
  if (status === "present" && model?.here === false) return "missing";
  return Object.hasOwn(ORDER, status) ? status : "unknown";
}

/** How many models there are, how many of them are not here, and the bytes of all that is to be loaded, as far as known. */
export function summaryOf(rows) {
  const whole = rows.filter((row) => !row.isPart);
  const bytes = rows.filter(isWanted).reduce((sum, row) => sum + row.size, 0);
  return { count: whole.length, missing: whole.filter((row) => row.isMissing).length, bytes };
}

/** Whether it can be loaded with one press: it is missing, and something names it to CivitAI. */
export function isLoadable(row) {
  return row.isMissing && Boolean(row.reference);
}

/** Whether "get all" loads it: a missing model, and of its other files those without which it does not work. */
export function isWanted(row) {
  return isLoadable(row) && (!row.isPart || row.isNeeded);
}

/** Whether it is here and could be written into the catalog. */
export function isAddable(row) {
  return !row.isPart && row.state === "present" && !row.inCatalog && row.version > 0;
}

/** The name for the loader, where the node names the file otherwise; `""` where there is nothing to do. */
export function otherName(row) {
  const same = row.file.replaceAll("\\", "/") === row.written.replaceAll("\\", "/");
  return row.place === "disk" && row.file && row.input && !same && /\.\w+$/.test(row.written) ? row.file : "";
}

/** What to look for on CivitAI: a file's name without its folder and ending, as words. */
export function searchWords(name) {
  const file = String(name).split(/[\\/]/).pop();
  return file.replace(/\.(safetensors|sft|ckpt|pth?|bin|gguf)$/i, "").replace(/[_+.-]+/g, " ").trim();
}

/** Why more may be known than the server's answer says: of the whole graph, else of a model that nobody could say of. */
export function noteOf(answer) {
  const unasked = list(answer?.models).find((model) => model?.status === "unknown" && texts(model.notes).length);
  return text(answer?.models_note) || texts(unasked?.notes)[0] || "";
}
