// The search page in a real browser: every form of it at every size, what visitors do, and what attackers try.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { accessibilityFaults, cutOff, launch, open, picture, SIZES, type Scheme, type Size } from "./browser";
import { call, give, type Json } from "./gateway";

const gateway = inject("gateway");
const CITIES = `${gateway}/ui/search/cities`;
const VIEWS = ["list", "card", "grid", "table"] as const;
const ATTACK = '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script>';

let browser: Browser;

beforeAll(async () => {
  browser = await launch();
  const films: Json[] = Array.from({ length: 60 }, (_, at) => ({
    id: at,
    title: at === 0 ? ATTACK : `Film ${at}`,
    overview: `A story that is told in more than eighty characters, so that it is a text and not a fact about film ${at}.`,
    poster: at === 1 ? "javascript:window.attacked=1" : `https://elsewhere.example/${at}.jpg`,
    url: at === 2 ? "javascript:window.attacked=1" : undefined,
    genres: [at % 2 ? "Drama" : ATTACK],
    rating: 1 + (at % 5),
    year: 1950 + at,
  }));
  await give(gateway, "films", films, { filterableAttributes: ["genres", "rating", "year"], sortableAttributes: ["year"] });
  const page = { title: `Films ${ATTACK}`, subtitle: ATTACK, layout: "grid", pagination: "scroll", facets: [{ attribute: "genres", label: ATTACK }, "rating", "year"] };
  await call(gateway, "POST", "/_miroir/ui/search/films/config", page);
}, 300_000);

afterAll(() => browser.close());

const hits = (page: Page) => page.locator("[data-open]");
const settled = async (page: Page) => {
  await page.locator("#results[aria-busy=false]").waitFor();
};
const titles = (page: Page) => page.locator("h3.title").allTextContents();

for (const size of Object.keys(SIZES) as Size[]) {
  for (const scheme of ["light", "dark"] as Scheme[]) {
    test(`every form of the page: ${size}, ${scheme}`, async () => {
      const { page, strangers, errors, context } = await open(browser, gateway, size, scheme);
      const look = async (name: string) => {
        await picture(page, `search-${name}-${size}-${scheme}`);
        expect(await accessibilityFaults(page), name).toEqual([]);
        expect(await cutOff(page), name).toEqual([]);
      };
      await page.goto(CITIES);
      await hits(page).first().waitFor();
      await settled(page);
      await look("list");
      await page.fill(".search input", "san");
      for (const view of VIEWS.slice(1)) {
        await page.locator(".views button").nth(VIEWS.indexOf(view)).click();
        await settled(page);
        await page.locator(view === "table" ? "table" : `.hits.${view}`).waitFor();
        await look(view);
      }
      await page.locator(".views button").first().click();
      if (size === "desktop") {
        await page.locator(".sidebar .value").first().click();
      } else {
        await page.click(".filters-open");
        await page.locator("dialog .value").first().click();
        await look("filters");
        await page.locator("dialog footer .main").click();
      }
      await page.locator(".chip").waitFor();
      await settled(page);
      await look("filtered");
      await hits(page).first().click();
      await page.locator("dialog.details").waitFor();
      await look("details");
      await page.keyboard.press("Escape");
      await page.locator("dialog").waitFor({ state: "detached" });
      await page.fill(".search input", "qqqzzz");
      await page.locator(".notice").waitFor();
      await look("none");
      expect(strangers).toEqual([]);
      expect(errors).toEqual([]);
      await context.close();
    });
  }
}

test("a newcomer finds a city of one country on a phone, and can share what was found", async () => {
  const { page, context } = await open(browser, gateway, "phone");
  await page.goto(CITIES);
  await page.locator(".search input").tap();
  await page.keyboard.type("san");
  await page.tap(".filters-open");
  await page.locator("dialog .value", { hasText: "Mexico" }).first().tap();
  await page.locator("dialog footer .main").tap();
  await page.locator(".chip", { hasText: "Mexico" }).waitFor();
  await settled(page);
  const countries = await page.locator(".subtitle").allTextContents();
  expect(countries.length).toBeGreaterThan(3);
  expect(new Set(countries)).toEqual(new Set(["Mexico"]));
  expect(new URL(page.url()).search).toBe("?q=san&f.country=Mexico");
  const found = await titles(page);
  await page.reload();
  await hits(page).first().waitFor();
  await settled(page);
  expect(await titles(page)).toEqual(found);
  expect(await page.inputValue(".search input")).toBe("san");
  // Back leads to what was asked before.
  await page.tap(".chip");
  await settled(page);
  expect(new URL(page.url()).search).toBe("?q=san");
  await page.goBack();
  await page.locator(".chip", { hasText: "Mexico" }).waitFor();
  await context.close();
});

test("hits and facets come in one request, typing asks once, and late answers are dropped", async () => {
  const { page, context } = await open(browser, gateway, "desktop");
  const asked: string[] = [];
  let release: () => void = () => {};
  const held = new Promise<void>((done) => (release = done));
  await page.route("**/multi-search", async (route) => {
    const { queries } = route.request().postDataJSON() as { queries: { q: string; facets: string[] }[] };
    asked.push(queries[0]!.q);
    expect(queries[0]!.facets).toEqual(["country", "population", "timezone"]);
    if (queries[0]!.q === "paris") await held;
    await route.continue().catch(() => {});
  });
  await page.goto(CITIES);
  await hits(page).first().waitFor();
  await page.locator(".search input").focus();
  await page.keyboard.type("paris");
  await expect.poll(() => asked).toEqual(["", "paris"]);
  await page.fill(".search input", "tokyo");
  await expect.poll(() => titles(page).then((all) => all[0])).toBe("Tokyo");
  release();
  await page.waitForTimeout(300);
  expect((await titles(page))[0]).toBe("Tokyo");
  expect(asked).toEqual(["", "paris", "tokyo"]);
  await context.close();
});

test("everything can be done by keyboard", async () => {
  const { page, context } = await open(browser, gateway, "desktop");
  await page.goto(`${CITIES}?q=tokyo`);
  await hits(page).first().waitFor();
  const focused = () => page.evaluate(() => document.activeElement?.matches("[data-open]") ? (document.activeElement as HTMLElement).innerText : (document.activeElement?.getAttribute("name") ?? document.activeElement?.className));
  await page.keyboard.press("Tab");
  expect(await focused()).toBe("skip");
  await page.keyboard.press("/");
  expect(await focused()).toBe("q");
  await page.keyboard.press("ArrowDown");
  expect(await focused()).toBe("Tokyo");
  await page.keyboard.press("Enter");
  await page.locator("dialog.details").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  expect(await focused()).toBe("Tokyo");
  await page.keyboard.press("ArrowDown");
  expect(await focused()).not.toBe("Tokyo");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowUp");
  expect(await focused()).toBe("q");
  await page.keyboard.press("Escape");
  expect(await page.inputValue(".search input")).toBe("");
  // A checkbox and a slider of the facets.
  await page.locator(".sidebar .value input").first().focus();
  await page.keyboard.press("Space");
  await page.locator(".chip").waitFor();
  await page.locator(".slider input").first().focus();
  await page.keyboard.press("ArrowRight");
  await expect.poll(() => page.locator(".chip").count()).toBe(2);
  await context.close();
});

test("a range narrows, an order holds, pages turn", async () => {
  const { page, context } = await open(browser, gateway, "desktop");
  await page.goto(CITIES);
  await hits(page).first().waitFor();
  const from = page.locator(".bounds input").first();
  await from.fill("10000000");
  await from.press("Enter");
  await page.locator(".chip").waitFor();
  await page.selectOption(".sort select", "population:asc");
  await settled(page);
  const numbers = async () => {
    const texts = await page.locator(".facts div:first-child dd").allTextContents();
    return texts.map((text) => Number(text.replaceAll(",", "")));
  };
  await expect.poll(async () => Math.min(...(await numbers()))).toBeGreaterThanOrEqual(10_000_000);
  const sorted = await numbers();
  expect(sorted).toEqual([...sorted].sort((one, other) => one - other));
  await page.locator(".chip").click();
  await page.locator(".pager").waitFor();
  const first = await titles(page);
  await page.locator(".pager .step").last().click();
  await settled(page);
  await expect.poll(() => titles(page)).not.toEqual(first);
  expect(page.url()).toContain("page=2");
  await context.close();
});

test("texts of documents, settings and configurations stay texts", async () => {
  const { page, strangers, context } = await open(browser, gateway, "desktop");
  let asked = false;
  page.on("dialog", () => (asked = true));
  await page.goto(`${gateway}/ui/search/films?q=${encodeURIComponent(ATTACK)}&f.genres=${encodeURIComponent(ATTACK)}`);
  await page.locator("#results[aria-busy=false]").waitFor();
  for (const view of VIEWS) {
    await page.goto(`${gateway}/ui/search/films?view=${view}`);
    await hits(page).first().waitFor();
    expect(await page.locator("#app script, #app img[onerror], #app iframe, #app [onclick]").count(), view).toBe(0);
    expect(await page.locator('a[href^="javascript"], img[src^="javascript"]').count(), view).toBe(0);
  }
  expect(await page.title()).toContain("<script>");
  await page.locator("[data-open]", { hasText: "<img" }).first().click();
  await page.locator("dialog.details").waitFor();
  expect(await page.locator("dialog").textContent()).toContain("<script>window.attacked");
  expect(await page.evaluate(() => (window as unknown as { attacked?: number }).attacked)).toBeUndefined();
  expect(asked).toBe(false);
  // Images of other sites are not even asked for.
  expect(strangers).toEqual([]);
  await context.close();
});

test("a template draws elements, and neither script nor the address of one", async () => {
  const template = '<div class="row"><h3 class="title">{{title}}</h3>{{#if url}}<a href="{{url}}">More</a>{{/if}}<a href="https://example.com/{{title}}">{{year}}</a><img src="{{poster}}" alt=""></div>';
  await call(gateway, "POST", "/_miroir/ui/search/films/config", { template, layout: "list", pagination: "scroll" });
  const { page, strangers, context } = await open(browser, gateway, "desktop");
  await page.goto(`${gateway}/ui/search/films`);
  await page.locator(".own").first().waitFor();
  expect(await page.locator(".own h3").first().textContent()).toBe(ATTACK);
  const links = await page.locator(".own a").evaluateAll((all) => all.map((link) => (link as HTMLAnchorElement).href));
  expect(links.every((link) => link === "" || link.startsWith("https://example.com/"))).toBe(true);
  expect(links.find((link) => link.includes("onerror"))).toBe(`https://example.com/${encodeURIComponent(ATTACK)}`);
  expect(await page.locator(".own img, .own script").count()).toBe(0);
  expect(strangers).toEqual([]);
  await picture(page, "search-template-desktop-light");
  await context.close();
});

test("an endless list grows to its end", async () => {
  await call(gateway, "POST", "/_miroir/ui/search/films/config", { layout: "card", pagination: "scroll", facets: ["rating", "year"] });
  const { page, context } = await open(browser, gateway, "phone");
  await page.goto(`${gateway}/ui/search/films`);
  await hits(page).first().waitFor();
  await expect
    .poll(async () => {
      await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
      return hits(page).count();
    })
    .toBe(60);
  await context.close();
});

test("a rating is chosen by stars", async () => {
  const { page, context } = await open(browser, gateway, "desktop");
  await page.goto(`${gateway}/ui/search/films`);
  await page.locator(".stars").first().click();
  await page.locator(".chip", { hasText: "★ 4+" }).waitFor();
  await expect.poll(() => page.locator(".total .number").textContent()).toBe("24 results");
  await picture(page, "search-stars-desktop-light");
  await context.close();
});

test("words are the visitor's, and stand from right to left where they are read so", async () => {
  const { page, context } = await open(browser, gateway, "phone");
  await page.goto(`${CITIES}?lang=de`);
  await page.getByRole("button", { name: "Filter", exact: false }).first().waitFor();
  await page.goto(`${CITIES}?lang=ar&q=cairo`);
  await hits(page).first().waitFor();
  expect(await page.getAttribute("html", "dir")).toBe("rtl");
  expect(await cutOff(page)).toEqual([]);
  expect(await accessibilityFaults(page)).toEqual([]);
  await picture(page, "search-arabic-phone-light");
  await context.close();
});

test("a page goes on when its gateway was away, and when its token has ended", async () => {
  const { page, context } = await open(browser, gateway, "desktop");
  await page.goto(CITIES);
  await hits(page).first().waitFor();
  await context.setOffline(true);
  await page.fill(".search input", "tokyo");
  await page.getByRole("alert").waitFor();
  await picture(page, "search-unreachable-desktop-light");
  await context.setOffline(false);
  await expect.poll(() => titles(page).then((all) => all[0]), { timeout: 30_000 }).toBe("Tokyo");
  let refused = 0;
  await page.route("**/multi-search", async (route) => {
    if (refused++ > 0) return route.continue();
    const body = JSON.stringify({ message: "expired", code: "miroir_jwt_invalid", type: "auth", link: "" });
    return route.fulfill({ status: 401, contentType: "application/json", body });
  });
  await page.fill(".search input", "cairo");
  await expect.poll(() => titles(page).then((all) => all[0])).toBe("Cairo");
  await context.close();
});

test("a page that needs a key asks for it", async () => {
  await give(gateway, "kept", [{ id: 1, name: "Treasure" }], {});
  await call(gateway, "POST", "/_miroir/ui/search/kept/config", { auth: { mode: "shared_key" } });
  const { page, context } = await open(browser, gateway, "phone");
  await page.goto(`${gateway}/ui/search/kept`);
  await page.locator(".key-form").waitFor();
  expect(await accessibilityFaults(page)).toEqual([]);
  await picture(page, "search-key-phone-light");
  await page.fill(".key-form input", "wrong");
  await page.keyboard.press("Enter");
  await page.getByText("This is not the key.").waitFor();
  await page.fill(".key-form input", inject("sharedKey"));
  await page.keyboard.press("Enter");
  await hits(page).first().waitFor();
  expect(await titles(page)).toEqual(["Treasure"]);
  await context.close();
});

test("no address of a page leads elsewhere", async () => {
  for (const path of ["/ui/search/cities?next=//evil.example", "/ui/search//evil.example", "//evil.example/ui/search/cities", "/ui/search/..%2f..%2f", "/ui/search/https:%2f%2fevil.example"]) {
    const answer = await fetch(gateway + path, { redirect: "manual" });
    expect([200, 404], path).toContain(answer.status);
    expect(answer.headers.get("location"), path).toBeNull();
  }
});
