import { expect, test } from "vitest";
import { numbers } from "./pager";

test("the first, the last and the pages around are there", () => {
  expect(numbers(1, 1)).toEqual([1]);
  expect(numbers(1, 5)).toEqual([1, 2, 3, 4, 5]);
  expect(numbers(1, 50)).toEqual([1, 2, 3, 4, 0, 50]);
  expect(numbers(4, 50)).toEqual([1, 2, 3, 4, 5, 0, 50]);
  expect(numbers(25, 50)).toEqual([1, 0, 24, 25, 26, 0, 50]);
  expect(numbers(50, 50)).toEqual([1, 0, 47, 48, 49, 50]);
});
