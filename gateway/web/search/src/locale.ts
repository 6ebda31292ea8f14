// The page's own words, in the visitor's language.
import type { Gateway } from "./api";

/** English is a part of the page, so that there are always words; other languages are files of their own. */
export const ENGLISH = {
  search: "Search",
  clear: "Clear the search",
  skip: "Skip to the results",
  filters: "Filters",
  "filters.show": "Show {count} results",
  "filters.clear": "Clear all",
  "filters.remove": "Remove {label}",
  close: "Close",
  results: "Results",
  "results.zero": "No results",
  "results.one": "{count} result",
  "results.other": "{count} results",
  "results.more": "{count}+ results",
  sort: "Sort by",
  "sort.relevance": "Best match",
  "sort.asc": "{name}, ascending",
  "sort.desc": "{name}, descending",
  view: "View",
  "view.list": "List",
  "view.card": "Cards",
  "view.grid": "Grid",
  "view.table": "Table",
  "page.previous": "Previous",
  "page.next": "Next",
  "page.number": "Page {number}",
  "page.of": "Pages",
  more: "Load more",
  "facet.more": "Show all {count}",
  "facet.less": "Show fewer",
  "facet.find": "Find in {name}",
  "facet.none": "Nothing to choose here",
  "range.from": "{name} from",
  "range.to": "{name} to",
  "stars.up": "{count} stars and more",
  "empty.title": "Nothing here yet",
  "empty.text": "There are no documents to search.",
  "none.title": "No results for “{query}”",
  "none.plain": "No results",
  "none.text": "Try fewer words, or other ones.",
  "none.filtered": "There may be some without the filters.",
  "error.title": "Something went wrong",
  "error.unreachable": "The search cannot be reached. It is tried again by itself.",
  "error.busy": "Too many requests. It goes on in a moment.",
  "error.retry": "Try again",
  "key.title": "This search needs a key",
  "key.text": "Enter the key that you were given.",
  "key.label": "Key",
  "key.open": "Open",
  "key.wrong": "This is not the key.",
  theme: "Colours: {mode}",
  "theme.auto": "as the system",
  "theme.light": "light",
  "theme.dark": "dark",
  details: "Details of {title}",
  open: "Open",
  milliseconds: "{count} ms",
  untitled: "Untitled",
} as const;

export type Word = keyof typeof ENGLISH;
export type Words = (word: Word, values?: Record<string, string | number>) => string;

/** Languages with a file of their own. */
export const LANGUAGES = ["ar", "de", "es", "fr", "it", "ja", "nl", "pt", "zh"];
const RIGHT_TO_LEFT = ["ar", "fa", "he", "ur"];

export interface Locale {
  language: string;
  direction: "ltr" | "rtl";
  words: Words;
}

export const DEFAULT: Locale = { language: "en", direction: "ltr", words: speaker({}) };

/** The locale of the first language that there are words for. */
export async function load(gateway: Pick<Gateway, "words">, wanted: readonly string[]): Promise<Locale> {
  for (const language of wanted) {
    const base = language.toLowerCase().split("-")[0]!;
    if (base === "en") return { ...DEFAULT, language };
    if (!LANGUAGES.includes(base)) continue;
    try {
      const words = speaker(await gateway.words(base));
      return { language, direction: RIGHT_TO_LEFT.includes(base) ? "rtl" : "ltr", words };
    } catch {
      // English words are better than none.
      return DEFAULT;
    }
  }
  return DEFAULT;
}

export function speaker(words: Record<string, string>): Words {
  return (word, values = {}) => {
    const text = (Object.hasOwn(words, word) ? words[word] : undefined) ?? ENGLISH[word];
    return text.replace(/\{(\w+)\}/g, (whole, name: string) => (Object.hasOwn(values, name) ? String(values[name]) : whole));
  };
}

/** The number of results in words. */
export function counted(locale: Locale, total: number, more: boolean): string {
  const count = new Intl.NumberFormat(locale.language).format(total);
  if (total === 0) return locale.words("results.zero");
  if (more) return locale.words("results.more", { count });
  return locale.words(new Intl.PluralRules(locale.language).select(total) === "one" ? "results.one" : "results.other", { count });
}
