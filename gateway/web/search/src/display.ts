// Which attribute of a document is its title, its image and so on, where the page's configuration does not say.
import { safeUrl, valueOf } from "./text";
import type { Display, Document, PageConfig } from "./types";

const TITLES = ["title", "name", "label", "headline", "subject", "heading"];
const SUBTITLES = ["subtitle", "tagline", "brand", "author", "authors", "artist", "company", "city", "country", "publisher"];
const TEXTS = ["description", "overview", "summary", "text", "content", "body", "excerpt", "abstract"];
const IMAGES = ["image", "img", "poster", "picture", "photo", "thumbnail", "cover", "image_url", "imageUrl", "poster_path", "avatar", "logo"];
const LINKS = ["url", "link", "href", "permalink", "page", "homepage", "website"];
const BADGES = ["tags", "genres", "categories", "category", "genre", "type", "status", "labels"];
/** Facts that are shown beside a hit. */
const FIELDS_MAX = 4;
const TEXT_LENGTH_MIN = 80;
const FACT_LENGTH_MAX = 60;

export interface Shown extends Display {
  title: string;
  badges: string[];
  fields: string[];
}

/** What to show of documents like these. */
export function guess(page: PageConfig, documents: Document[]): Shown {
  const given = page.display;
  const names = [...new Set(documents.flatMap((document) => Object.keys(document)))].filter((name) => !name.startsWith("_"));
  const some = (name: string, test: (value: unknown) => boolean) => {
    const values = documents.map((document) => valueOf(document, name)).filter((value) => value !== null && value !== undefined && value !== "");
    return values.length > 0 && values.every(test);
  };
  const isText = (value: unknown) => typeof value === "string" && !isAddress(value);
  const title =
    given.title ??
    known(TITLES, names).find((name) => some(name, isText)) ??
    page.searchable.find((name) => some(name, isText)) ??
    names.find((name) => some(name, isText)) ??
    page.primaryKey ??
    names[0] ??
    "id";
  const taken = new Set([title]);
  const take = (wanted: string | undefined, candidates: string[], test: (value: unknown) => boolean) => {
    const found = wanted ?? known(candidates, names).find((name) => !taken.has(name) && some(name, test));
    if (found) taken.add(found);
    return found;
  };
  const link = take(given.link, LINKS, isAddress);
  const image = take(given.image, IMAGES, isAddress);
  const isLong = (value: unknown) => isText(value) && (value as string).length > TEXT_LENGTH_MIN;
  const text = take(given.text, [...TEXTS, ...names.filter((name) => some(name, isLong))], isText);
  const subtitle = take(given.subtitle, SUBTITLES, (value) => isText(value) || isTexts(value));
  const badge = given.badges ? undefined : take(undefined, BADGES, (value) => isTexts(value) || isFact(value));
  const badges = given.badges ?? (badge ? [badge] : []);
  const isShown = (name: string) => !taken.has(name) && name !== page.primaryKey && !badges.includes(name);
  const facts = names.filter((name) => isShown(name) && some(name, isFact));
  // What can be filtered or sorted by is what people decide by.
  const used = new Set([...page.facets.map((facet) => facet.attribute), ...page.sorts.map((sort) => sort.sort.replace(/:\w+$/, ""))]);
  facts.sort((one, other) => Number(used.has(other)) - Number(used.has(one)));
  const fields = given.fields ?? facts.slice(0, FIELDS_MAX);
  return { title, badges, fields, ...(subtitle && { subtitle }), ...(text && { text }), ...(image && { image }), ...(link && { link }) };
}

/** Candidates that are there, by any spelling of capitals, in the order of the candidates. */
function known(candidates: string[], names: string[]): string[] {
  return candidates.flatMap((candidate) => names.filter((name) => name.toLowerCase() === candidate.toLowerCase()));
}

function isAddress(value: unknown): boolean {
  return typeof value === "string" && /^(https?:\/\/|\/[^/])/.test(value) && safeUrl(value, "https://example.com") !== null;
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((member) => typeof member === "string" && member.length <= FACT_LENGTH_MAX);
}

function isFact(value: unknown): boolean {
  if (typeof value === "string") return value.length <= FACT_LENGTH_MAX && !isAddress(value);
  return typeof value === "number" || typeof value === "boolean";
}
