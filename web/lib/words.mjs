// Pure helpers of the page's words: every text of the page stands in locales/<language>/main.json below `civitai_bridge`.

const BLOCK = "civitai_bridge";

/** The dictionary of a language: its own, that of its base (`pt` for `pt-BR`), else English. */
export function dictionaryOf(languages, language) {
  const names = [language, String(language ?? "").split("-")[0], "en"];
  for (const name of names) {
    if (Object.hasOwn(languages ?? {}, name) && languages[name]?.[BLOCK]) return languages[name][BLOCK];
  }
  return {};
}

function textOf(dictionary, key) {
  let value = dictionary;
  for (const part of key.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = value[part];
  }
  return typeof value === "string" ? value : undefined;
}

/**
 * A function `t(key, values)` for texts with `{name}` in them. Where `values.count` is 1, `key_one` is taken when there
 * is one. A key without a text gives English, and without that the key itself, so that a gap shows.
 */
export function translator(languages, language) {
  const [own, english] = [dictionaryOf(languages, language), dictionaryOf(languages, "en")];
  return (key, values = {}) => {
    const keys = values.count === 1 ? [`${key}_one`, key] : [key];
    const text = keys.map((name) => textOf(own, name) ?? textOf(english, name)).find((found) => found !== undefined);
    return (text ?? key).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
  };
}

/** A whole number with its language's separators. */
export function numberText(value, language = "en") {
  return new Intl.NumberFormat(language, { maximumFractionDigits: 0 }).format(Number(value) || 0);
}

/** Bytes as people write them: `6.5 GB`; `""` where nothing is known. */
export function sizeText(bytes, language = "en") {
  if (!(Number(bytes) > 0)) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  const digits = value < 10 && power > 0 ? 1 : 0;
  return `${new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value)} ${units[power]}`;
}
