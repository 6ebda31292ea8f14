// Console and search page over TLS, by two gateways of one cluster: one session opens both, and one page is served by both.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { accessibilityFaults, launch, open, picture } from "./browser";

/** How long two gateways, a Redis and the sample may take on a busy machine. */
const READY_MAX_MS = 240_000;
const SECTIONS = [["overview", "Overview"], ["topology", "Topology"], ["indexes", "Indexes"], ["access/sessions", "Keys and tenants"]] as const;

let browser: Browser;
let child: ChildProcess;
let folder: string;
let gateways: string[];

beforeAll(async () => {
  browser = await launch();
  folder = mkdtempSync(join(tmpdir(), "miroir-secure-"));
  const shape = ["--nodes", "1", "--shards", "8", "--pods", "2", "--tls"];
  const words = [...shape, "--listen", "127.0.0.1:0", "--data", join(folder, "data")];
  child = spawn(inject("program"), words, { stdio: ["ignore", "ignore", "pipe"] });
  gateways = await addresses(child);
}, READY_MAX_MS + 30_000);

afterAll(async () => {
  await browser.close();
  const ended = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  await ended;
  rmSync(folder, { recursive: true, force: true });
});

/** The addresses of both gateways, once they serve. */
function addresses(child: ChildProcess): Promise<string[]> {
  return new Promise((found, failed) => {
    let said = "";
    const late = setTimeout(() => failed(new Error(`miroir-dev is not ready:\n${said}`)), READY_MAX_MS);
    child.stderr!.on("data", (bytes: Buffer) => {
      said += bytes.toString();
      if (!said.includes("Ctrl-C")) return;
      clearTimeout(late);
      found([...said.matchAll(/^ {2}gateway\s+(https:\/\/\S+)/gm)].map((match) => match[1]!));
    });
    child.once("exit", (code) => failed(new Error(`miroir-dev ended with ${code}:\n${said}`)));
  });
}

test("who signs in at one gateway is signed in at the other, and out at both", async () => {
  const [first, second] = gateways as [string, string];
  const { page, context, strangers } = await open(browser, "https://127.0.0.1:", "desktop");
  const frame = page.locator(".frame");
  await page.goto(`${first}/_miroir/admin`);
  await frame.waitFor();
  // This cluster has no key, so that any key opens a session.
  const answered = await page.evaluate(async () => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch("/_miroir/admin/login", { method: "POST", headers, body: '{"adminKey": "any"}' });
    return answer.status;
  });
  expect(answered).toBe(200);
  const [cookie, ...others] = await context.cookies(first);
  expect(others).toEqual([]);
  expect(cookie).toMatchObject({ secure: true, httpOnly: true, sameSite: "Strict" });
  const session = (): Promise<{ session: string | null; pod: string }> =>
    page.evaluate(async () => (await fetch("/_miroir/admin/session")).json());
  const seen = [];
  for (const gateway of [first, second]) {
    await page.goto(`${gateway}/_miroir/admin`);
    await frame.waitFor();
    for (const [section, title] of SECTIONS) {
      await page.evaluate((to) => (location.hash = `#/${to}`), section);
      await page.getByRole("heading", { level: 1, name: title, exact: true }).waitFor();
      await page.locator(".loading").first().waitFor({ state: "detached" });
    }
    await picture(page, `secure-console-${gateway === first ? "first" : "second"}`);
    expect(await accessibilityFaults(page)).toEqual([]);
    seen.push(await session());
  }
  expect(seen[0]!.session).toMatch(/^[0-9a-f]{32}$/);
  expect(seen[1]!.session).toBe(seen[0]!.session);
  expect(seen[1]!.pod).not.toBe(seen[0]!.pod);
  // Signed out at the second, nobody is signed in at the first, whatever cookie is kept and sent again.
  await page.locator('button[aria-label="Sign out"]').click();
  await expect.poll(async () => (await session()).session).toBeNull();
  await context.addCookies([cookie!]);
  await page.goto(`${first}/_miroir/admin`);
  await frame.or(page.getByLabel("Admin key")).first().waitFor();
  expect((await session()).session).toBeNull();
  expect(strangers).toEqual([]);
  await context.close();
});

test("the search page searches over TLS at both gateways", async () => {
  for (const gateway of gateways) {
    const { page, context, strangers, errors } = await open(browser, gateway, "phone");
    await page.goto(`${gateway}/ui/search/cities`);
    await page.locator("[data-open]").first().waitFor();
    await page.fill(".search input", "paris");
    await page.locator("#results[aria-busy=false]").waitFor();
    await page.locator("h3.title", { hasText: "Paris" }).first().waitFor();
    expect(strangers).toEqual([]);
    expect(errors).toEqual([]);
    await context.close();
  }
});
