import { expect, test } from "vitest";
import { filterCount, format, NOTHING, parse } from "./state";

const NONE = new URLSearchParams();

test("a state is the same after a visit to the address bar", () => {
  for (const text of [
    "",
    "?q=s%C3%A3o",
    "?q=a&f.country=France&f.country=C%C3%B4te+d%27Ivoire&f.a%26b=%3D",
    "?r.population=1000..&sort=population%3Adesc&page=3&view=grid",
    "?r.population=-1.5..2&s.rating=4",
  ]) {
    expect(format(parse(text), NONE), text).toBe(text);
  }
  expect(parse("")).toEqual(NOTHING);
});

test("what no page has written is read as far as it makes sense", () => {
  expect(parse("?page=-2&view=wheel&r.a=x..y&s.b=&r.c=..&unknown=1")).toEqual(NOTHING);
  expect(parse("?page=1e99").page).toBe(100_000);
  expect(parse("?f.a=1&f.a=1").values).toEqual({ a: ["1"] });
  expect(parse(`?q=${"x".repeat(5000)}`).q).toHaveLength(1000);
  expect(Object.keys(parse("?f.__proto__=x").values)).toEqual(["__proto__"]);
  expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
});

test("parameters of the page are kept, filters are counted", () => {
  expect(format({ ...NOTHING, q: "a" }, new URLSearchParams("embed=true&q=old&page=7"))).toBe("?q=a&embed=true");
  expect(filterCount(parse("?f.a=1&f.a=2&r.b=1..2&s.c=3"))).toBe(4);
});
