import { expect, test } from "vitest";
import { kindOf, scale } from "./facets";

test("a facet is what its values are", () => {
  const check = (attribute: string, values: (string | number)[], stats?: { min: number; max: number }) =>
    kindOf({ attribute, kind: "auto" }, Object.fromEntries(values.map((value) => [value, 1])), stats);
  const many = Array.from({ length: 30 }, (_, at) => at * 10);
  expect(check("country", ["France", "Spain"])).toBe("checkbox");
  expect(check("population", many, { min: 0, max: 290 })).toBe("range");
  expect(check("doors", [2, 4], { min: 2, max: 4 })).toBe("checkbox");
  expect(check("rating", [1, 2.5, 5], { min: 1, max: 5 })).toBe("stars");
  expect(check("mixed", [...many, "x"], { min: 0, max: 290 })).toBe("checkbox");
  expect(kindOf({ attribute: "country", kind: "range" }, {}, undefined)).toBe("range");
});

test("a slider reaches both ends, and every step of it comes back", () => {
  for (const [min, max] of [[0, 10], [50_000, 31_480_498], [-5, 5], [0.5, 4.5], [7, 7], [0, 1e9]] as const) {
    const { position, value } = scale(min, max);
    expect([value(0), value(200)]).toEqual([min, max]);
    let last = Number.NEGATIVE_INFINITY;
    for (let step = 0; step <= 200; step++) {
      expect(value(step)).toBeGreaterThanOrEqual(last);
      last = value(step);
      if (min < max) expect(Math.abs(position(last) - step), `${min}..${max} at ${step}`).toBeLessThanOrEqual(12);
    }
  }
});
