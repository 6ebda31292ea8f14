// A value of a hit as text, with the words that were searched for marked. It is never anything but text.
import { pieces, shown, valueOf } from "../text";
import type { Hit } from "../types";

export function Marked({ hit, attribute, language }: { hit: Hit; attribute: string; language: string }) {
  const value = valueOf(hit, attribute);
  const formatted = valueOf(hit._formatted, attribute);
  // Numbers, dates and the like read better in the visitor's own way than as they were searched.
  const plain = shown(value, attribute, language);
  const text = isText(value) && formatted !== undefined ? shown(formatted, attribute, language) : plain;
  // A text has its own direction, whatever that of the page is.
  return <bdi>{pieces(text).map((piece) => (piece.marked ? <mark>{piece.text}</mark> : piece.text))}</bdi>;
}

function isText(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(isText);
  return typeof value === "string" && !/^\d{4}-\d{2}-\d{2}/.test(value);
}
