// The search page in other sites' pages, behind a path prefix, and in frames where it does not belong.
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { launch, open, picture } from "./browser";
import { call, give } from "./gateway";

const gateway = inject("gateway");
const servers: Server[] = [];
let browser: Browser;
let site: string;
let stranger: string;
let prefixed: string;

/** A site whose every page is this one. */
async function serve(html: (url: URL) => string): Promise<string> {
  const server = createServer((asked, answer) => {
    answer.writeHead(200, { "Content-Type": "text/html; charset=utf-8" });
    answer.end(html(new URL(asked.url ?? "/", "http://x")));
  });
  return listen(server);
}

async function listen(server: Server): Promise<string> {
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A proxy that serves the gateway below a prefix, as a site with other things beside it does. */
function behind(prefix: string): Server {
  const upstream = new URL(gateway);
  return createServer((asked, answer) => {
    if (!asked.url?.startsWith(prefix)) return void answer.writeHead(404).end();
    const path = asked.url.slice(prefix.length - 1);
    const sent = request({ host: upstream.hostname, port: upstream.port, path, method: asked.method, headers: asked.headers }, (got) => {
      answer.writeHead(got.statusCode ?? 502, got.headers);
      got.pipe(answer);
    });
    asked.pipe(sent);
  });
}

beforeAll(async () => {
  browser = await launch();
  const widget = (url: URL) => `<!doctype html><title>A shop</title><h1>A shop</h1>
    <miroir-search index="towns" q="${url.searchParams.get("q") ?? ""}" ${url.pathname === "/headless" ? "headless" : ""}></miroir-search>
    <script src="${gateway}/ui/widget.js"></script>`;
  site = await serve(widget);
  stranger = await serve((url) => (url.pathname === "/frame" ? `<iframe src="${gateway}/ui/search/towns"></iframe>` : widget(url)));
  prefixed = `${await listen(behind("/find/me/"))}/find/me`;
  const towns = Array.from({ length: 30 }, (_, at) => ({ id: at, name: `Town ${at}`, country: at % 2 ? "Here" : "There" }));
  await give(gateway, "towns", towns, { filterableAttributes: ["country"] });
  await call(gateway, "POST", "/_miroir/ui/search/towns/config", { allowedOrigins: [site], hitsPerPage: 5 });
}, 300_000);

afterAll(async () => {
  await browser.close();
  for (const server of servers) server.close();
});

test("a site shows the page as an element, as tall as it is, and hears of clicks", async () => {
  const { page, context } = await open(browser, gateway, "desktop");
  await page.goto(`${site}/?q=town`);
  const frame = page.frameLocator("miroir-search iframe");
  await frame.locator("[data-open]").first().waitFor();
  expect(await frame.locator(".brand").count()).toBe(0);
  const height = () => page.locator("iframe").evaluate((one) => one.getBoundingClientRect().height);
  const content = () => frame.locator("html").evaluate((root) => root.getBoundingClientRect().height);
  await expect.poll(async () => Math.abs((await height()) - (await content()))).toBeLessThan(2);
  const clicked = page.evaluate(() => new Promise((heard) => addEventListener("miroir-click", (event) => heard((event as CustomEvent).detail), { once: true })));
  await frame.locator("[data-open]").first().click();
  expect(await clicked).toEqual({ id: 0, position: 1 });
  await picture(page, "search-widget-desktop-light");
  await context.close();
});

test("a site draws results itself", async () => {
  const { page, context } = await open(browser, gateway, "desktop");
  await page.goto(`${site}/headless`);
  const found = await page.evaluate(async () => {
    await customElements.whenDefined("miroir-search");
    const element = document.querySelector("miroir-search") as HTMLElement & { search(text: string, options: object): Promise<unknown> };
    return element.search("?q=town&f.country=Here", { hitsPerPage: 3 });
  });
  expect(found).toMatchObject({ total: 15, counts: { country: { Here: 15, There: 15 } } });
  expect((found as { hits: { country: string }[] }).hits.map((hit) => hit.country)).toEqual(["Here", "Here", "Here"]);
  expect(await page.locator("iframe").isVisible()).toBe(false);
  await context.close();
});

test("a site that is not allowed can neither frame the page nor draw its results", async () => {
  for (const path of ["/frame", "/", "/headless"]) {
    const { page, context, errors } = await open(browser, gateway, "desktop");
    await page.goto(stranger + path);
    await expect.poll(() => errors.some((error) => error.includes("frame-ancestors")), { timeout: 20_000 }).toBe(true);
    expect(await page.frameLocator("iframe").locator("#app").count(), path).toBe(0);
    await context.close();
  }
});

test("the page works behind a path prefix", async () => {
  const { page, strangers, errors, context } = await open(browser, prefixed, "desktop");
  for (const address of [`${prefixed}/ui/search/cities?q=tokyo`, `${prefixed}/ui/search/cities/?q=tokyo`]) {
    await page.goto(address);
    await expect.poll(() => page.locator("h3.title").first().textContent()).toBe("Tokyo");
  }
  expect(strangers).toEqual([]);
  expect(errors).toEqual([]);
  await context.close();
});
