import { describe, expect, it } from "vitest";
import { ago, bytes, canonical, differences, fingerprint, isImage, isLink, isoSeconds, lines, milliseconds, seconds, short } from "./text";

describe("values as people read them", () => {
  it("are short", () => {
    expect([0, 999, 1200, 5_400_000].map(short)).toEqual(["0", "999", "1.2k", "5.4M"]);
    expect([512, 2048, 3 * 2 ** 30].map(bytes)).toEqual(["512 B", "2.0 KiB", "3.0 GiB"]);
    expect([0.25, 3, 90, 600, 7200].map(seconds)).toEqual(["250 ms", "3.0 s", "90 s", "10 min", "2 h"]);
    expect([12, null, undefined].map(milliseconds)).toEqual(["12 ms", "–", "–"]);
    expect(ago(1000, 61_000)).toBe("60 s ago");
    expect(isoSeconds("PT1M2.5S")).toBe(62.5);
    expect(isoSeconds(null)).toBeNull();
  });
});

describe("settings", () => {
  it("have one text and one fingerprint whatever their order", () => {
    expect(canonical({ b: 1, a: [1, { d: 2, c: 3 }] })).toBe('{"a":[1,{"c":3,"d":2}],"b":1}');
    expect(fingerprint({ a: 1, b: 2 })).toBe(fingerprint({ b: 2, a: 1 }));
    expect(fingerprint({ a: 1 })).not.toBe(fingerprint({ a: 2 }));
    expect(fingerprint("")).toMatch(/^[0-9a-f]{16}$/);
  });
  it("differ member by member, and line by line", () => {
    expect(differences({ a: 1, b: [1] }, { a: 1, b: [2], c: 3, d: null })).toEqual(["b", "c"]);
    expect(lines("a\nb\nc", "a\nc\nd").map((line) => `${line.kind} ${line.text}`)).toEqual([
      "same a",
      "gone b",
      "same c",
      "new d",
    ]);
  });
});

describe("links", () => {
  it("lead to the web and run nothing", () => {
    expect(isLink("https://example.com/a?b#c")).toBe(true);
    for (const bad of ["javascript:alert(1)", "data:text/html,x", "https://a b", 'https://a"onload', "//a.b", 5, null])
      expect(isLink(bad)).toBe(false);
    expect(isImage("http://example.com/a.PNG?x=1")).toBe(true);
    expect(isImage("https://example.com/a")).toBe(false);
  });
});
