// Says things in the user's language: a key and values become a sentence.
import { en } from "./en.js";
import { zh } from "./zh.js";
import { all, setAttribute, setText } from "./dom.js";
import { keep, kept } from "./keep.js";

const TONGUES = { en, zh };
const LOCALES = { en: "en", zh: "zh-CN" };
const listeners = [];
let tongue = first();

/** "en" or "zh". */
export const language = () => tongue;
export const locale = () => LOCALES[tongue];

/** The sentence of a key; `count` chooses between one and many. */
export function say(key, values = {}) {
  const found = TONGUES[tongue][key] ?? en[key];
  if (found === undefined) throw new Error(`no words for ${key}`);
  const text = typeof found === "string" ? found : found[form(values.count)] ?? found.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

export const knows = (key) => key in en;

/** A server's sentence, which is English, in the user's language: by its word for programs, where there is one. */
export function sayFor(prefix, word, sentence) {
  if (tongue === "en" && sentence) return sentence;
  return word && knows(`${prefix}.${word}`) ? say(`${prefix}.${word}`) : sentence || say("no_reason");
}

export function speak(chosen) {
  tongue = chosen;
  keep("language", chosen);
  dressWords();
  for (const listener of listeners) listener();
}

/** Calls back whenever another language was chosen. */
export const onLanguage = (listener) => listeners.push(listener);

/** The words of what stands in the page already. */
export function dressWords(root = document) {
  document.documentElement.lang = locale();
  for (const each of all("[data-say]", root)) setText(each, say(each.dataset.say));
  for (const each of all("[data-say-label]", root)) setAttribute(each, "aria-label", say(each.dataset.sayLabel));
  for (const each of all("[data-say-title]", root)) setAttribute(each, "title", say(each.dataset.sayTitle));
  for (const each of all("[data-say-placeholder]", root)) {
    setAttribute(each, "placeholder", say(each.dataset.sayPlaceholder));
  }
}

function first() {
  const chosen = kept("language");
  if (chosen in TONGUES) return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

function form(count) {
  return new Intl.PluralRules(locale()).select(Number(count ?? 2));
}

function shown(value) {
  return typeof value === "number" ? value.toLocaleString(locale()) : String(value ?? "");
}
