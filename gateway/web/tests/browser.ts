// A real Chromium for tests, and what they all do with it.
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

/** Sizes of windows that people have. */
export const SIZES = {
  phone: { width: 390, height: 844 },
  tablet: { width: 820, height: 1180 },
  desktop: { width: 1440, height: 900 },
} as const;

export type Size = keyof typeof SIZES;
export type Scheme = "light" | "dark";

/** Where pictures of the pages go. */
const PICTURES = process.env.MIROIR_SCREENSHOTS ?? resolve(import.meta.dirname, "../screenshots");
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** Debian's Chromium, or the one that MIROIR_CHROMIUM names; it makes no connection of its own. */
export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.MIROIR_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--force-color-profile=srgb"],
  });
}

/** A page in a window of its own. What the page asks of other hosts, and what it reports as an error, is kept. */
export interface Window {
  page: Page;
  context: BrowserContext;
  strangers: string[];
  errors: string[];
}

export async function open(browser: Browser, own: string, size: Size, scheme: Scheme = "light"): Promise<Window> {
  const context = await browser.newContext({
    viewport: SIZES[size],
    colorScheme: scheme,
    hasTouch: size !== "desktop",
    reducedMotion: "reduce",
    // Tests over TLS meet the authority of their own cluster, which no browser knows.
    ignoreHTTPSErrors: own.startsWith("https:"),
  });
  const page = await context.newPage();
  const strangers: string[] = [];
  const errors: string[] = [];
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(own) && !/^(data|blob|about):/.test(url)) strangers.push(url);
  });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  return { page, context, strangers, errors };
}

/** Keeps a picture of the page, for people to look at. */
export async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: resolve(PICTURES, `${name}.png`) });
}

/** What axe finds wrong by WCAG 2.2 AA, one line each. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  // The page's policy lets no script in but its own, so axe comes by the way that debuggers take.
  const source = (await import("node:fs")).readFileSync(AXE, "utf8");
  await page.evaluate(source);
  const found = await page.evaluate(async () => {
    const axe = (window as unknown as { axe: { run(context: unknown, options: unknown): Promise<{ violations: Violation[] }> } }).axe;
    interface Violation { id: string; help: string; nodes: { target: unknown; failureSummary?: string }[] }
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const { violations } = await axe.run(document, { runOnly: { type: "tag", values: tags } });
    return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => `${node.target} ${node.failureSummary ?? ""}`).join("; ")}`);
  });
  return found;
}

/** Elements that are wider than the window, or reach out of it: nothing may be cut off. */
export function cutOff(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const wide = document.documentElement.scrollWidth > width ? [`the page is ${document.documentElement.scrollWidth} wide`] : [];
    return wide;
  });
}
