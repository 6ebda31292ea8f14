// The notice that an index has no search page: shown, readable, and only a text, whatever the name in the path.
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { accessibilityFaults, cutOff, launch, open, picture, SIZES, type Scheme, type Size } from "./browser";

const gateway = inject("gateway");
let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

for (const size of Object.keys(SIZES) as Size[]) {
  for (const scheme of ["light", "dark"] as Scheme[]) {
    test(`an index without a page says so: ${size}, ${scheme}`, async () => {
      const { page, strangers, context } = await open(browser, gateway, size, scheme);
      const answer = await page.goto(`${gateway}/ui/search/nothing-here`);
      expect(answer?.status()).toBe(404);
      expect(await page.textContent("main")).toContain("nothing-here");
      expect(await accessibilityFaults(page)).toEqual([]);
      expect(await cutOff(page)).toEqual([]);
      expect(strangers).toEqual([]);
      await picture(page, `search-missing-${size}-${scheme}`);
      await context.close();
    });
  }
}

test("a name in the path is shown as a text", async () => {
  const { page, context } = await open(browser, gateway, "desktop");
  // A name holds no slash: that would be another path.
  const name = '"><img src=x onerror=alert(1)><script>alert(1)';
  let alarmed = false;
  page.on("dialog", () => (alarmed = true));
  const answer = await page.goto(`${gateway}/ui/search/${encodeURIComponent(name)}`);
  expect(answer?.headers()["content-security-policy"]).toContain("frame-ancestors 'none'");
  expect(await page.locator("main img, main script").count()).toBe(0);
  expect(await page.textContent("main")).toContain("<script>alert(1)");
  expect(alarmed).toBe(false);
  await context.close();
});

test("the notice holds with a slash at its end", async () => {
  const { page, context } = await open(browser, gateway, "phone");
  const styles: number[] = [];
  page.on("response", (response) => response.url().endsWith(".css") && styles.push(response.status()));
  await page.goto(`${gateway}/ui/search/nothing-here/`);
  expect(styles).toEqual([200]);
  await context.close();
});
