// What the gateway tells a page about itself, and what a page makes of it.

export type FacetKind = "auto" | "checkbox" | "range" | "stars";
export type View = "list" | "card" | "grid" | "table";

export interface FacetConfig {
  attribute: string;
  label?: string;
  kind: FacetKind;
}

export interface SortConfig {
  sort: string;
  label?: string;
}

export interface Display {
  title?: string;
  subtitle?: string;
  text?: string;
  image?: string;
  link?: string;
  badges?: string[];
  fields?: string[];
}

/** A node of a compiled template: see `pages/search/template.rs`. */
export type TemplateNode =
  | string
  | { f: string }
  | { t: string; a?: Record<string, (string | { f: string })[]>; c?: TemplateNode[] }
  | { if: string; c: TemplateNode[]; else?: TemplateNode[] };

export interface PageConfig {
  index: string;
  title: string;
  subtitle: string | null;
  placeholder: string | null;
  language: string | null;
  theme: { mode: "auto" | "light" | "dark"; accent: string | null };
  layout: View;
  display: Display;
  template: TemplateNode[] | null;
  facets: FacetConfig[];
  sorts: SortConfig[];
  pagination: "pages" | "scroll";
  hitsPerPage: number;
  imageOrigins: string[];
  beacons: boolean;
  primaryKey: string | null;
  searchable: string[];
}

export type Document = Record<string, unknown>;

export interface Hit extends Document {
  _formatted?: Document;
}

/** One answer of a multi-search. */
export interface SearchAnswer {
  indexUid: string;
  hits: Hit[];
  query: string;
  processingTimeMs: number;
  page?: number;
  totalPages?: number;
  totalHits?: number;
  estimatedTotalHits?: number;
  facetDistribution?: Record<string, Record<string, number>>;
  facetStats?: Record<string, { min: number; max: number }>;
}

/** An error of the gateway's, or one on the way to it. */
export class Failure extends Error {
  constructor(
    message: string,
    readonly code: string,
    readonly status: number,
    readonly retryAfter = 0,
  ) {
    super(message);
  }
}
