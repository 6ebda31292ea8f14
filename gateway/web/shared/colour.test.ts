import { expect, test } from "vitest";
import { CONTRAST_MIN, contrast, parseHex, readableOn, toHex } from "./colour";

test("colours are read or refused", () => {
  expect(parseHex("#fff")).toEqual([255, 255, 255]);
  expect(parseHex("#0F6e68")).toEqual([15, 110, 104]);
  for (const wrong of ["", "red", "#12", "#12345", "#gggggg", "#1234567", "#-1-1-1", "url(x)"]) {
    expect(parseHex(wrong), wrong).toBeNull();
  }
});

test("contrast is that of WCAG", () => {
  expect(contrast([0, 0, 0], [255, 255, 255])).toBeCloseTo(21);
  expect(contrast([119, 119, 119], [255, 255, 255])).toBeCloseTo(4.48, 1);
});

test("every colour gets a shade that can be read", () => {
  for (const background of ["#ffffff", "#141b26"].map((text) => parseHex(text)!)) {
    for (const colour of ["#ffff00", "#0f6e68", "#ff3366", "#000000", "#ffffff", "#808080"].map((text) => parseHex(text)!)) {
      expect(contrast(readableOn(colour, background), background), toHex(colour)).toBeGreaterThanOrEqual(CONTRAST_MIN);
    }
  }
  expect(readableOn([15, 110, 104], [255, 255, 255])).toEqual([15, 110, 104]);
});
