// Values as people read them, in their language.
import { END, MARK } from "./query";

/** A piece of a text, marked where it was searched for. */
export interface Piece {
  text: string;
  marked: boolean;
}

/** The pieces of a formatted text. Whatever the text holds, the pieces are texts. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  text.split(MARK).forEach((part, at) => {
    const [marked, after] = at === 0 ? ["", part] : split(part);
    if (marked) found.push({ text: marked, marked: true });
    if (after) found.push({ text: after.replaceAll(END, ""), marked: false });
  });
  return found;
}

function split(part: string): [string, string] {
  const end = part.indexOf(END);
  return end < 0 ? [part, ""] : [part.slice(0, end), part.slice(end + END.length)];
}

/** `countryCode`, `country_code` and `country.code` are all "Country code". */
export function humanize(attribute: string): string {
  const words = attribute
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replace(/[._-]+/g, " ")
    .trim()
    .toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The value of an attribute, which may lie in others: `a.b`. */
export function valueOf(document: Record<string, unknown> | undefined, attribute: string): unknown {
  if (!document) return undefined;
  if (Object.hasOwn(document, attribute)) return document[attribute];
  let value: unknown = document;
  for (const part of attribute.split(".")) {
    if (Array.isArray(value)) value = value.map((member) => member?.[part]);
    else if (value !== null && typeof value === "object" && Object.hasOwn(value, part)) value = (value as Record<string, unknown>)[part];
    else return undefined;
  }
  return value;
}

const ISO_DATE = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}.*)?$/;
/** Names of numbers that are seconds since 1970. */
const TIME_NAME = /(_at|At|date|Date|timestamp)$/;

/** Names of numbers that count nothing. */
const PLAIN_NAME = /year|^id$|_id$|Id$|^zip|postcode/i;

/** A value in one line. */
export function shown(value: unknown, attribute: string, language: string): string {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map((member) => shown(member, attribute, language)).filter(Boolean).join(", ");
  switch (typeof value) {
    case "number":
      if (TIME_NAME.test(attribute) && value > 1e8 && value < 1e11) return date(new Date(value * 1000), language);
      if (PLAIN_NAME.test(attribute)) return String(value);
      return new Intl.NumberFormat(language, { maximumFractionDigits: 3 }).format(value);
    case "boolean":
      return value ? "✓" : "–";
    case "string":
      return ISO_DATE.test(value) && !Number.isNaN(Date.parse(value)) ? date(new Date(value), language) : value;
    case "object": {
      const { lat, lng } = value as { lat?: unknown; lng?: unknown };
      if (typeof lat === "number" && typeof lng === "number") return `${lat.toFixed(3)}, ${lng.toFixed(3)}`;
      return JSON.stringify(value);
    }
    default:
      return String(value);
  }
}

function date(value: Date, language: string): string {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeZone: "UTC" }).format(value);
}

/** An address that a link may lead to, or an image come from: of the web, never a script's. */
export function safeUrl(text: string, base: string): URL | null {
  try {
    const url = new URL(text, base);
    return url.protocol === "https:" || url.protocol === "http:" ? url : null;
  } catch {
    return null;
  }
}
