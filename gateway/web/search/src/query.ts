// The questions of a page: hits and facets in one multi-search, and one list of facets out of its answers.
//
// A facet in which something is chosen counts its other values as if nothing were, so that more can be chosen; each such
// facet is one more query of the same multi-search.
import type { State } from "./state";
import type { Hit, PageConfig, SearchAnswer } from "./types";

/** Around a word that was searched for; no text holds them, and whatever held them would be marked and nothing more. */
export const MARK = "\ue000";
export const END = "\ue001";
/** Words of a text that are shown. */
const CROP_WORDS = 40;

export interface Question {
  indexUid: string;
  q: string;
  filter?: string[];
  facets?: string[];
  sort?: string[];
  page?: number;
  hitsPerPage?: number;
  limit?: number;
  [member: string]: unknown;
}

export interface Facets {
  counts: Record<string, Record<string, number>>;
  stats: Record<string, { min: number; max: number }>;
}

export interface Results extends Facets {
  hits: Hit[];
  total: number;
  pages: number;
  page: number;
  milliseconds: number;
}

export function questions(page: PageConfig, state: State, number: number, cropped: string | undefined): Question[] {
  const groups = filters(state);
  const all = Object.values(groups);
  const facets = page.facets.map((facet) => facet.attribute);
  const main: Question = {
    indexUid: page.index,
    q: state.q,
    page: number,
    hitsPerPage: page.hitsPerPage,
    attributesToHighlight: ["*"],
    highlightPreTag: MARK,
    highlightPostTag: END,
    ...(all.length > 0 && { filter: all }),
    ...(facets.length > 0 && { facets }),
    ...(state.sort && { sort: [state.sort] }),
    ...(cropped && { attributesToCrop: [`${cropped}:${CROP_WORDS}`] }),
  };
  const chosen = Object.keys(groups).filter((attribute) => facets.includes(attribute));
  const apart = chosen.map((attribute): Question => {
    const others = Object.entries(groups).filter(([name]) => name !== attribute);
    return {
      indexUid: page.index,
      q: state.q,
      limit: 0,
      facets: [attribute],
      ...(others.length > 0 && { filter: others.map(([, filter]) => filter) }),
    };
  });
  return [main, ...apart];
}

/** The results of the answers to `questions`. */
export function results(asked: Question[], answers: SearchAnswer[]): Results {
  const [main, ...apart] = answers;
  if (!main) throw new Error("an answer without results");
  const counts = { ...main.facetDistribution };
  const stats = { ...main.facetStats };
  apart.forEach((answer, at) => {
    for (const attribute of asked[at + 1]?.facets ?? []) {
      counts[attribute] = answer.facetDistribution?.[attribute] ?? {};
      const found = answer.facetStats?.[attribute];
      if (found) stats[attribute] = found;
    }
  });
  return {
    hits: main.hits,
    total: main.totalHits ?? main.estimatedTotalHits ?? main.hits.length,
    pages: main.totalPages ?? 1,
    page: main.page ?? 1,
    milliseconds: Math.max(...answers.map((answer) => answer.processingTimeMs)),
    counts,
    stats,
  };
}

/** One filter for each attribute in which something is chosen. */
export function filters(state: State): Record<string, string> {
  const groups: Record<string, string> = {};
  for (const [attribute, values] of Object.entries(state.values)) {
    if (values.length > 0) groups[attribute] = `${quoted(attribute)} IN [${values.map(quoted).join(", ")}]`;
  }
  for (const [attribute, { from, to }] of Object.entries(state.ranges)) {
    const name = quoted(attribute);
    const bounds = [from !== null && `${name} >= ${from}`, to !== null && `${name} <= ${to}`].filter(Boolean);
    if (bounds.length > 0) groups[attribute] = bounds.join(" AND ");
  }
  for (const [attribute, least] of Object.entries(state.stars)) groups[attribute] = `${quoted(attribute)} >= ${least}`;
  return groups;
}

/** A text of a filter: whatever it holds, it stays one text. */
export function quoted(text: string): string {
  // A backslash takes the character behind it along; one before a quote or the end gets another, to keep it to itself.
  const kept = text.replace(/\\+(?="|$)/g, (backslashes) => (backslashes.length % 2 ? `${backslashes}\\` : backslashes));
  return `"${kept.replace(/"/g, '\\"')}"`;
}
