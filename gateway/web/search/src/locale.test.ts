import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { counted, DEFAULT, ENGLISH, LANGUAGES, load, speaker } from "./locale";

const FOLDER = resolve(import.meta.dirname, "../public");
const read = (language: string) => JSON.parse(readFileSync(resolve(FOLDER, `locale-${language}.json`), "utf8")) as Record<string, string>;

test("every language has every word, with the same places for values", () => {
  const files = readdirSync(FOLDER).filter((name) => name.startsWith("locale-"));
  expect(files.sort()).toEqual([...LANGUAGES, "en"].sort().map((language) => `locale-${language}.json`));
  expect(read("en")).toEqual(ENGLISH);
  const places = (text: string) => [...text.matchAll(/\{\w+\}/g)].map((match) => match[0]).sort();
  for (const language of LANGUAGES) {
    const words = read(language);
    expect(Object.keys(words), language).toEqual(Object.keys(ENGLISH));
    for (const [word, text] of Object.entries(ENGLISH)) expect(places(words[word]!), `${language} ${word}`).toEqual(places(text));
  }
});

test("the first known language is taken, and English where none is", async () => {
  const gateway = { words: async (language: string) => read(language) };
  expect((await load(gateway, ["xx", "de-AT", "fr"])).words("filters")).toBe("Filter");
  expect((await load(gateway, ["ar"])).direction).toBe("rtl");
  expect((await load(gateway, ["en-GB", "de"])).language).toBe("en-GB");
  expect(await load({ words: () => Promise.reject(new Error()) }, ["de"])).toBe(DEFAULT);
});

test("values are put in as they are", () => {
  expect(speaker({})("none.title", { query: "{count}$&" })).toBe("No results for “{count}$&”");
  expect(counted(DEFAULT, 1, false)).toBe("1 result");
  expect(counted(DEFAULT, 4449, false)).toBe("4,449 results");
  expect(counted(DEFAULT, 0, false)).toBe("No results");
  expect(counted(DEFAULT, 1000, true)).toBe("1,000+ results");
});
