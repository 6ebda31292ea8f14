import { expect, test } from "vitest";
import { filters, questions, quoted, results } from "./query";
import { NOTHING, parse } from "./state";
import type { PageConfig, SearchAnswer } from "./types";

const PAGE = {
  index: "cities",
  facets: [{ attribute: "country", kind: "auto" }, { attribute: "population", kind: "range" }],
  hitsPerPage: 20,
} as unknown as PageConfig;

test("hits and facets are one question each", () => {
  expect(questions(PAGE, NOTHING, 1, undefined)).toHaveLength(1);
  const asked = questions(PAGE, parse("?q=a&f.country=France&f.country=Spain&r.population=5..&sort=x:asc"), 2, "text");
  expect(asked).toHaveLength(3);
  expect(asked[0]).toMatchObject({
    q: "a",
    page: 2,
    filter: ['"country" IN ["France", "Spain"]', '"population" >= 5'],
    facets: ["country", "population"],
    sort: ["x:asc"],
    attributesToCrop: ["text:40"],
  });
  expect(asked[1]).toEqual({ indexUid: "cities", q: "a", limit: 0, facets: ["country"], filter: ['"population" >= 5'] });
  expect(asked[2]).toMatchObject({ facets: ["population"], filter: ['"country" IN ["France", "Spain"]'] });
});

test("a filter on no facet of the page narrows and is not counted apart", () => {
  const asked = questions(PAGE, parse("?f.other=x"), 1, undefined);
  expect(asked).toHaveLength(1);
  expect(asked[0]!.filter).toEqual(['"other" IN ["x"]']);
});

test("a chosen facet shows what else could be chosen", () => {
  const answer = (counts: Record<string, number>, total: number): SearchAnswer => ({
    indexUid: "cities", hits: [], query: "", processingTimeMs: 3, totalHits: total, totalPages: 1, page: 1,
    facetDistribution: { country: counts }, facetStats: {},
  });
  const asked = questions(PAGE, parse("?f.country=France"), 1, undefined);
  const found = results(asked, [answer({ France: 3 }, 3), answer({ France: 3, Spain: 5 }, 8)]);
  expect(found.total).toBe(3);
  expect(found.counts.country).toEqual({ France: 3, Spain: 5 });
});

test("values stay texts of a filter", () => {
  expect(quoted("Côte d'Ivoire")).toBe('"Côte d\'Ivoire"');
  expect(quoted('a" OR b = "c')).toBe('"a\\" OR b = \\"c"');
  expect(quoted("a\\")).toBe('"a\\\\"');
  expect(quoted("a\\b")).toBe('"a\\b"');
  expect(quoted('a\\" OR x EXISTS OR y = "')).toBe('"a\\\\\\" OR x EXISTS OR y = \\""');
  expect(filters(parse("?r.a=..3&s.b=4"))).toEqual({ a: '"a" <= 3', b: '"b" >= 4' });
});
