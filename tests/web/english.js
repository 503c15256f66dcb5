// The page's words in English, as the page has them.
import { readFileSync } from "node:fs";
import { translator } from "../../web/lib/words.mjs";

const main = JSON.parse(readFileSync(new URL("../../locales/en/main.json", import.meta.url), "utf8"));

export const t = translator({ en: main }, "en");
