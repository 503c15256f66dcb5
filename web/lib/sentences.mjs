// Pure: the server's sentences in another language. A table has the English one as its key, with places in braces for
// what the server fills in: `"{name} is not on this disk."`. Values stay as they are, as text; one that is called
// `sentence` or `words` is the server's own as well and is looked up itself, and a `number` holds digits alone.

const TABLES = ["zh"]; // sentences/<language>.json; of English there is none
const PLACE = /\{(\w+)\}/g;
const IS_OURS = /^(sentence|words)\d*$/;
const IS_NUMBER = /^number\d*$/;
const DIGITS = /^[\d.,]+$/;
const SEVERAL = /([.?!]) (?=[A-Z0-9"'`…])/; // between two sentences
const CUTS = new RegExp(SEVERAL.source, "g");
const LONGEST = 2000; // letters of a text that is looked at
const MOST_PARTS = 16; // sentences of one text
const DEEPEST = 4; // sentences in sentences
const MOST_LOOKS = 60; // at texts and parts of one, however they are made
const LEAST = 9; // letters of its own that a sentence with places must have to be known by them
const HAN = "[\\u2e80-\\u9fff\\uff00-\\uffef\\u3000-\\u303f“”]";
const BEGINS_HAN = new RegExp(`^${HAN}`);
const ENDS_HAN = new RegExp(`${HAN}$`);

/** The name of the table for a language, its own or that of its base; `""` where there is none. */
export function tableFor(language) {
  const name = String(language ?? "");
  return [name, name.split("-")[0]].find((each) => TABLES.includes(each)) ?? "";
}

/** A function that gives what the server wrote in the language of a table; what is not in the table, as it came. */
export function sentencesIn(table) {
  const fixed = new Map();
  const patterns = [];
  for (const [english, own] of Object.entries(table ?? {})) {
    if (typeof own !== "string") continue;
    const pattern = patternOf(english, own);
    if (pattern.names.length) patterns.push(pattern);
    else fixed.set(english, own);
  }
  patterns.sort((a, b) => b.length - a.length); // the one with most letters of its own is meant
  return (text) => {
    if (typeof text !== "string" || text.length > LONGEST) return text;
    return translated({ fixed, patterns, looks: MOST_LOOKS }, text.trim(), true, 0) ?? text;
  };
}

function patternOf(english, own) {
  const parts = english.split(PLACE); // literal, name, literal, name, …, literal
  const names = parts.filter((_, place) => place % 2);
  const literals = parts.filter((_, place) => place % 2 === 0);
  const letters = literals.join("").replace(/[^A-Za-z]/g, "").length;
  const stands = letters >= (/^[A-Z{`]/.test(english) ? LEAST : 3 * LEAST); // else it is but a part of a sentence
  const isWeak = letters < LEAST && names.every((name) => IS_OURS.test(name)); // such a one stands when its words are known
  return { names, literals, length: literals.join("").length, stands: stands || isWeak, isWeak, own };
}

// A text in the table's language, undefined where nothing of it is known. `alone`: it is no part of a sentence.
function translated(book, text, alone, depth) {
  const one = oneOf(book, text, alone, depth);
  if (one?.isClear) return one.text;
  const several = severalOf(book, text, alone, depth);
  return several?.isWhole || !one ? several?.text : one.text;
}

// A text by the longest pattern that fits it, one whose words are all known before others. It is clear when no value of it
// reaches over the end of a sentence.
function oneOf(book, text, alone, depth) {
  if (book.fixed.has(text)) return { text: book.fixed.get(text), isClear: true };
  if (book.looks-- <= 0) return undefined;
  let best;
  for (const pattern of book.patterns) {
    const values = alone && !pattern.stands ? null : (valuesOf(pattern, text) ?? valuesOf(pattern, `${text} `)); // the last value may be none
    if (!values) continue;
    const isClear = pattern.names.every((name, place) => name.startsWith("sentence") || !SEVERAL.test(values[place]));
    const { text: own, isKnown } = filled(book, pattern, values, depth);
    if (pattern.isWeak && !isKnown) continue;
    const isBetter = isClear && (!best?.isClear || (isKnown && pattern.names.some((name) => IS_OURS.test(name))));
    if (!best || isBetter) best = { text: own, isClear };
    if (isClear && isKnown && isBetter) break;
  }
  return best;
}

// What stands in the places of a pattern; null where it does not fit. Each literal is looked for once, from left to right.
function valuesOf({ names, literals }, text) {
  const last = literals.length - 1;
  const end = text.length - literals[last].length;
  let at = literals[0].length;
  if (end < at || !text.startsWith(literals[0]) || !text.endsWith(literals[last])) return null;
  const values = [];
  for (let place = 1; place <= last; place++) {
    const next = place === last ? end : text.indexOf(literals[place], at);
    if (next < at || next > end) return null;
    values.push(text.slice(at, next));
    at = next + literals[place].length;
  }
  return names.every((name, place) => !IS_NUMBER.test(name) || DIGITS.test(values[place])) ? values : null;
}

function filled(book, pattern, values, depth) {
  const own = pattern.names.map((name, place) => (IS_OURS.test(name) ? inside(book, values[place], name.startsWith("sentence"), depth + 1) : undefined));
  const isKnown = pattern.names.every((name, place) => !IS_OURS.test(name) || own[place] !== undefined);
  const text = pattern.own.split(PLACE).reduce((before, part, place) => {
    if (place % 2 === 0) return joined(before, part);
    const at = pattern.names.indexOf(part);
    return own[at] === undefined ? before + values[at].trim() : joined(before, own[at]);
  }, "");
  return { text, isKnown };
}

// Two pieces of ours side by side: no space within Chinese, one after an English sentence.
function joined(text, part) {
  if (BEGINS_HAN.test(part) && /[.?!]$/.test(text)) return `${text} ${part}`;
  if (ENDS_HAN.test(text) && part.startsWith(" ") && BEGINS_HAN.test(part.slice(1))) return text + part.slice(1);
  return ENDS_HAN.test(text.slice(0, -1)) && text.endsWith(" ") && BEGINS_HAN.test(part) ? text.slice(0, -1) + part : text + part;
}

/** Sentences, one after the other. */
export function inOneLine(sentences) {
  return sentences.filter(Boolean).reduce((before, line) => (before ? joined(before, ` ${line}`) : line), "");
}

// A sentence in a sentence, where its full stop may be cut off, or words in one, of which there may be a list; undefined
// where they are not known.
function inside(book, value, alone, depth) {
  const text = value.trim();
  if (!text || depth > DEEPEST) return text ? undefined : "";
  const whole = translated(book, text, alone, depth) ?? translated(book, `${text}.`, alone, depth)?.replace(/。$/, "");
  if (whole !== undefined || alone) return whole;
  const list = text.split(", ").map((each) => book.fixed.get(each));
  return list.every(Boolean) ? list.join("、") : undefined;
}

// A text as the sentences that it is made of, from the left the longest that is known.
function severalOf(book, whole, alone, depth) {
  const parts = whole.replace(CUTS, "$1\0").split("\0");
  if (parts.length < 2 || parts.length > MOST_PARTS) return undefined;
  const lines = [];
  let known = 0;
  for (let from = 0; from < parts.length; ) {
    let [to, line] = [parts.length, undefined];
    for (; to > from && line === undefined; to--) {
      const one = to - from < parts.length ? oneOf(book, parts.slice(from, to).join(" "), alone, depth) : undefined;
      line = one?.isClear ? one.text : undefined;
    }
    known += line === undefined ? 0 : 1;
    lines.push(line ?? parts[from]);
    from = line === undefined ? from + 1 : to + 1;
  }
  return known ? { text: inOneLine(lines), isWhole: known === lines.length } : undefined;
}
