// What a visitor has asked for, and the same as a query string, so that a page can be shared, reloaded and left.
import type { View } from "./types";

export interface Range {
  from: number | null;
  to: number | null;
}

export interface State {
  q: string;
  /** Chosen values by attribute. */
  values: Record<string, string[]>;
  ranges: Record<string, Range>;
  /** The least number of stars by attribute. */
  stars: Record<string, number>;
  sort: string | null;
  /** From 1. */
  page: number;
  view: View | null;
}

/** How the names of parameters begin, so that no attribute can take a name of the page's own. */
const VALUE = "f.";
const RANGE = "r.";
const STARS = "s.";
const VIEWS: View[] = ["list", "card", "grid", "table"];
/** Bounds of what a query string may ask for. */
const QUERY_LENGTH_MAX = 1000;
const VALUES_MAX = 100;

export const NOTHING: State = { q: "", values: {}, ranges: {}, stars: {}, sort: null, page: 1, view: null };

export function parse(search: string): State {
  const state: State = { ...NOTHING, values: {}, ranges: {}, stars: {} };
  for (const [name, value] of new URLSearchParams(search)) {
    if (name === "q") state.q = value.slice(0, QUERY_LENGTH_MAX);
    else if (name === "sort") state.sort = value || null;
    else if (name === "page") state.page = Math.max(1, Math.min(100_000, Math.trunc(Number(value)) || 1));
    else if (name === "view") state.view = VIEWS.find((view) => view === value) ?? null;
    else if (name.startsWith(VALUE)) {
      const chosen = own(state.values, name.slice(VALUE.length)) ?? [];
      if (chosen.length < VALUES_MAX && !chosen.includes(value)) put(state.values, name.slice(VALUE.length), [...chosen, value]);
    } else if (name.startsWith(RANGE)) {
      const [from, to] = value.split("..").map(numberOf);
      if ((from ?? null) !== null || (to ?? null) !== null) {
        put(state.ranges, name.slice(RANGE.length), { from: from ?? null, to: to ?? null });
      }
    } else if (name.startsWith(STARS)) {
      const least = numberOf(value);
      if (least !== null) put(state.stars, name.slice(STARS.length), least);
    }
  }
  return state;
}

/** The query string of a state; `kept` are parameters that are not the state's, such as `embed`. */
export function format(state: State, kept: URLSearchParams): string {
  const params = new URLSearchParams();
  if (state.q) params.set("q", state.q);
  for (const [attribute, values] of Object.entries(state.values)) {
    for (const value of values) params.append(VALUE + attribute, value);
  }
  for (const [attribute, { from, to }] of Object.entries(state.ranges)) {
    params.set(RANGE + attribute, `${from ?? ""}..${to ?? ""}`);
  }
  for (const [attribute, least] of Object.entries(state.stars)) params.set(STARS + attribute, String(least));
  if (state.sort) params.set("sort", state.sort);
  if (state.page > 1) params.set("page", String(state.page));
  if (state.view) params.set("view", state.view);
  for (const [name, value] of kept) if (!isOfState(name)) params.append(name, value);
  const text = params.toString();
  return text ? `?${text}` : "";
}

export function isOfState(name: string): boolean {
  return ["q", "sort", "page", "view"].includes(name) || [VALUE, RANGE, STARS].some((start) => name.startsWith(start));
}

/** How many filters are set. */
export function filterCount(state: State): number {
  const chosen = Object.values(state.values).reduce((sum, values) => sum + values.length, 0);
  return chosen + Object.keys(state.ranges).length + Object.keys(state.stars).length;
}

/** A number of a query string; `null` for what is none. */
function numberOf(text: string | undefined): number | null {
  const number = text ? Number(text) : Number.NaN;
  return Number.isFinite(number) ? number : null;
}

/** A member of a record by a name that a link can choose freely. */
function own<T>(record: Record<string, T>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function put<T>(record: Record<string, T>, name: string, value: T): void {
  Object.defineProperty(record, name, { value, enumerable: true, configurable: true, writable: true });
}
