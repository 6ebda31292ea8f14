import { expect, test } from "vitest";
import { guess } from "./display";
import type { PageConfig } from "./types";

const page = (own: Partial<PageConfig> = {}) =>
  ({ display: {}, facets: [], sorts: [], searchable: [], primaryKey: "id", ...own }) as unknown as PageConfig;

test("a city has a name, a country and facts", () => {
  const city = { id: 1, name: "Tokyo", alternateNames: ["x"], country: "Japan", countryCode: "JP", population: 3, timezone: "Asia/Tokyo", _geo: {} };
  expect(guess(page({ sorts: [{ sort: "population:desc" }] }), [city])).toEqual({
    title: "name", subtitle: "country", badges: [], fields: ["population", "countryCode", "timezone"],
  });
});

test("a film has a poster, a text and genres", () => {
  const film = { id: 1, title: "A", overview: "b", poster: "https://i.example/a.jpg", genres: ["Drama"], url: "https://a.example/1", year: 1999 };
  expect(guess(page(), [film])).toEqual({
    title: "title", text: "overview", image: "poster", link: "url", badges: ["genres"], fields: ["year"],
  });
});

test("what the configuration says holds, and anything has a title", () => {
  expect(guess(page({ display: { title: "b", fields: ["c"], badges: [] } }), [{ a: "x", b: 1, tags: ["y"] }])).toEqual({
    title: "b", badges: [], fields: ["c"],
  });
  expect(guess(page({ searchable: ["sku"] }), [{ id: 1, sku: "A-1" }]).title).toBe("sku");
  expect(guess(page(), [{ id: 1, n: 3 }]).title).toBe("id");
  expect(guess(page(), [])).toEqual({ title: "id", badges: [], fields: [] });
});

test("no script's address is an image or a link", () => {
  expect(guess(page(), [{ id: 1, name: "a", image: "javascript:alert(1)", url: "data:text/html,x" }])).not.toHaveProperty("link");
});
