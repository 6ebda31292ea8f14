import { expect, test } from "vitest";
import { END, MARK } from "./query";
import { humanize, pieces, safeUrl, shown, valueOf } from "./text";

test("marks become pieces, markup stays text", () => {
  const check = (text: string, expected: [string, boolean][]) =>
    expect(pieces(text).map((piece) => [piece.text, piece.marked])).toEqual(expected);
  check("", []);
  check("plain", [["plain", false]]);
  check(`${MARK}São${END} Paulo`, [["São", true], [" Paulo", false]]);
  check(`<img src=x>${MARK}a${END}${MARK}b${END}`, [["<img src=x>", false], ["a", true], ["b", true]]);
  check(`${END}a${MARK}b`, [["a", false], ["b", true]]);
});

test("names of attributes are words", () => {
  for (const name of ["countryCode", "country_code", "country.code", "Country-Code"]) expect(humanize(name)).toBe("Country code");
  expect(humanize("_geo")).toBe("Geo");
});

test("values are found in others and shown in the language", () => {
  expect(valueOf({ a: { b: [{ c: 1 }, { c: 2 }] } }, "a.b.c")).toEqual([1, 2]);
  expect(valueOf({ "a.b": 3 }, "a.b")).toBe(3);
  expect(valueOf({}, "constructor")).toBeUndefined();
  expect(shown(31480498, "population", "en")).toBe("31,480,498");
  expect(shown(31480498, "population", "de")).toBe("31.480.498");
  expect(shown(1999, "release_year", "en")).toBe("1999");
  expect(shown(1850147, "id", "en")).toBe("1850147");
  expect(shown(["a", null, "b"], "x", "en")).toBe("a, b");
  expect(shown("2024-02-29", "x", "en")).toBe("Feb 29, 2024");
  expect(shown(1700000000, "created_at", "en")).toBe("Nov 14, 2023");
  expect(shown({ lat: 1, lng: 2 }, "_geo", "en")).toBe("1.000, 2.000");
});

test("only addresses of the web are links", () => {
  const base = "https://a.example/ui/search/x";
  expect(safeUrl("/p/1", base)?.href).toBe("https://a.example/p/1");
  expect(safeUrl("https://b.example/x", base)?.href).toBe("https://b.example/x");
  for (const text of ["javascript:alert(1)", " java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "http://["]) {
    expect(safeUrl(text, base), text).toBeNull();
  }
});
