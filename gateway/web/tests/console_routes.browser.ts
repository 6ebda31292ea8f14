// Sections whose routes may be switched off: what they show when these answer as the management API says they do.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { accessibilityFaults, cutOff, launch, open, picture, type Scheme, type Size } from "./browser";

const gateway = inject("gateway");
const SLOW_MS = 300_000;
let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

/** Some minutes into the last hour. */
const at = (minute: number): string => new Date(Date.now() - (60 - minute) * 60_000).toISOString();
const runs = Array.from({ length: 40 }, (_, minute) => ({
  at: at(minute),
  passed: minute % 9 !== 4,
  milliseconds: 8 + (minute % 7),
  failures: minute % 9 === 4 ? [{ type: "min_hits", expected: 5, observed: 3 }] : [],
}));
const progress = { documentsMoved: 4200, documentsTotal: 10_000, bytesMoved: 1 << 22, documentsPerSecond: 800, secondsLeft: 7, deltaDocuments: 3 };

/** Answers by what a path begins with; the longest beginning counts. */
const ANSWERS: Record<string, unknown> = {
  "/_miroir/canaries/status": {
    results: [
      { name: "paris-first", index: "cities", runs },
      { name: "<b>markup</b>", index: "cities", runs: runs.slice(0, 12).map((run) => ({ ...run, passed: true, failures: [] })) },
    ],
  },
  "/_miroir/shadow/diff": {
    results: ["hits", "ranking", "latency", "error"].map((kind, number) => ({
      id: number + 1, target: "next", kind, index: "cities", query: { q: `san ${number}` }, primary: { ids: [1, 2, 3] }, shadow: { ids: [1, 3, 2] },
    })),
  },
  "/_miroir/rollover-policies": {
    results: [{ name: "logs", writeAlias: "logs-write", readAlias: "logs", pattern: "logs-{YYYY-MM-DD}", triggers: { maxDocs: 1_000_000, maxAge: "7d" }, retention: { keepIndexes: 30 }, template: { primaryKey: "id", settings: {} } }],
  },
  "/_miroir/rollover-policies/logs/run": { dryRun: true, rollOver: false, why: "no trigger has been met" },
  "/_miroir/changes/sinks": { results: [{ name: "kafka", state: "running", cursor: "42", lagSeconds: 0.4, bufferedBytes: 2048, dropped: 0 }] },
  "/_miroir/audit": {
    results: [{ sequence: 7, at: at(3), who: "admin key", method: "PATCH", path: "/indexes/cities/settings", before: { sortableAttributes: [] }, after: { sortableAttributes: ["name"] } }],
  },
  "/_miroir/operations": {
    results: [
      { operation: 43, kind: "addNode", status: "running", phase: "DualWrite", progress, shards: [3, 7], reason: null, startedAt: at(1), finishedAt: null },
      { operation: 42, kind: "drainNode", status: "failed", phase: "CutoverBegin", progress, shards: [1], reason: "the node n9 does not answer", startedAt: at(0), finishedAt: at(1) },
    ],
  },
  "/_miroir/nodes": { dryRun: true, kind: "addNode", shards: [3, 7], moves: [], documents: 1234, bytes: 1 << 20, seconds: 3, warnings: ["some node does not say how many documents it has"] },
  "/_miroir/ui/search/cities/config": { title: "Cities of the world", hitsPerPage: 20 },
  "/_miroir/tenants": { results: [{ tenant: "acme", group: 1 }] },
  "/keys": { results: [{ uid: "6062abda-a5aa-4414-ac91-ecd7944c0f8d", key: "0123456789abcdef", name: "Default Search API Key", description: "For searches", actions: ["search"], indexes: ["*"], expiresAt: null, createdAt: at(0) }], total: 1 },
};

async function pretend(page: Page): Promise<void> {
  const names = Object.keys(ANSWERS).sort((one, other) => other.length - one.length);
  let told = false;
  await page.route(/\/(_miroir\/(canaries|shadow|rollover|changes|audit|operations|nodes|tenants|ui)|keys)/, async (route) => {
    const path = new URL(route.request().url()).pathname;
    if (path === "/_miroir/changes") {
      // One event, and then the silence of a long wait.
      if (told) return;
      told = true;
      const event = { eventId: "e1", taskUid: 5, index: "cities", operation: "update", primaryKeys: [1, 2, 3], shardIds: [4, 9], settingsVersion: 2, timestamp: at(2) };
      return route.fulfill({ json: { results: [event], next: "1" } });
    }
    const name = names.find((known) => path.startsWith(known));
    return name ? route.fulfill({ json: ANSWERS[name] }) : route.continue();
  });
}

async function go(page: Page, section: string): Promise<void> {
  await page.evaluate((to) => (location.hash = `#/${to}`), section);
  await page.locator(".loading").first().waitFor({ state: "detached" });
}

for (const [size, scheme] of [["desktop", "light"], ["phone", "dark"]] as [Size, Scheme][])
  it(
    `shows canaries, shadows, rollovers, changes, operations, keys and the audit log at ${size} size in ${scheme} colours`,
    async () => {
      const window = await open(browser, gateway, size, scheme);
      const { page } = window;
      await pretend(page);
      await page.goto(`${gateway}/_miroir/admin`);
      const key = page.getByLabel("Admin key");
      await page.locator(".frame").or(key).first().waitFor();
      if (await key.isVisible()) {
        await key.fill("any");
        await page.getByRole("button", { name: "Sign in" }).click();
      }
      await page.locator(".frame").waitFor();
      const found: string[] = [];
      const look = async (name: string) => {
        await picture(page, `console-${name}-${size}-${scheme}`);
        found.push(...(await cutOff(page)), ...(await accessibilityFaults(page)));
      };
      await go(page, "canaries");
      await page.getByRole("button", { name: /paris-first, .*: failed/ }).first().click();
      await page.getByRole("dialog").getByText("min_hits").waitFor();
      await look("canary-run");
      await page.getByRole("button", { name: "Close" }).click();
      await look("canaries-full");
      await go(page, "shadow");
      await page.getByRole("button", { name: "Difference 2" }).click();
      await page.getByRole("dialog").getByRole("heading", { name: /This cluster/ }).waitFor();
      await look("shadow-difference");
      await page.getByRole("button", { name: "Close" }).click();
      await go(page, "rollover");
      await page.getByRole("button", { name: "What would it do now? logs" }).click();
      await page.getByRole("dialog").getByText("no trigger has been met").waitFor();
      await page.getByRole("dialog").getByRole("button", { name: "Close" }).first().click();
      await look("rollover-full");
      await go(page, "changes");
      await page.getByText("1, 2, 3").waitFor();
      await page.getByText("kafka").waitFor();
      await look("changes-full");
      await go(page, "audit");
      await page.getByRole("region", { name: "Changes" }).getByRole("button").click();
      await page.getByRole("dialog").locator(".diff .new").first().waitFor();
      await look("audit-entry");
      await page.getByRole("button", { name: "Close" }).click();
      await go(page, "access/keys");
      await page.getByRole("button", { name: "Key Default Search API Key" }).click();
      await page.getByRole("dialog").getByText("•").waitFor();
      await look("key");
      await page.getByRole("button", { name: "Close" }).click();
      await go(page, "indexes/cities/page");
      await page.getByRole("link", { name: "Open the page" }).waitFor();
      await look("search-page");
      await go(page, "topology");
      await page.getByRole("button", { name: "Add a node" }).click();
      const form = page.getByRole("dialog");
      await form.getByLabel("Name").fill("n9");
      await form.getByLabel("Address").fill("http://127.0.0.1:7799");
      await form.getByRole("button", { name: "Show the plan" }).click();
      await page.getByRole("dialog").getByText("1,234").waitFor();
      await look("plan");
      await page.getByRole("button", { name: "Close" }).click();
      await page.getByText("43 addNode").waitFor();
      await page.getByText("the node n9 does not answer").waitFor();
      await look("operations");
      await go(page, "overview");
      await page.getByText("Operation 42").waitFor();
      await look("attention");
      expect(found).toEqual([]);
      expect(window.strangers).toEqual([]);
      await window.context.close();
    },
    SLOW_MS,
  );
