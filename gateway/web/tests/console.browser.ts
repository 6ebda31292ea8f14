// The console in a real browser: every section at every size and in both colours, what operators do in it, and what an
// attacker leaves in documents and names.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { accessibilityFaults, cutOff, launch, open, picture, type Scheme, SIZES, type Size, type Window } from "./browser";

const gateway = inject("gateway");
const PAGE = `${gateway}/_miroir/admin`;
/** How long a busy machine may take for all sections at one size. */
const SLOW_MS = 600_000;
const SECTIONS = [
  ["overview", "Overview"],
  ["topology", "Topology"],
  ["metrics", "Metrics"],
  ["tasks", "Tasks"],
  ["indexes", "Indexes"],
  ["indexes/cities", "cities"],
  ["indexes/cities/page", "cities"],
  ["indexes/cities/reshard", "cities"],
  ["indexes/cities/ttl", "cities"],
  ["indexes/cities/fields", "cities"],
  ["indexes/cities/delete", "cities"],
  ["aliases", "Aliases"],
  ["documents/cities", "Documents"],
  ["rollover", "Rollover"],
  ["changes", "Changes"],
  ["sandbox/cities", "Query sandbox"],
  ["request", "Requests"],
  ["canaries", "Canaries"],
  ["shadow", "Shadow"],
  ["access/keys", "Keys and tenants"],
  ["access/tenants", "Keys and tenants"],
  ["access/sessions", "Keys and tenants"],
  ["configuration", "Configuration"],
  ["audit", "Audit"],
] as const;

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

/** Opens the console and signs in; this cluster has no key, so that any will do. */
async function signedIn(size: Size, scheme: Scheme = "light"): Promise<Window> {
  const window = await open(browser, gateway, size, scheme);
  await window.page.goto(PAGE);
  const frame = window.page.locator(".frame");
  const key = window.page.getByLabel("Admin key");
  await frame.or(key).first().waitFor();
  if (await key.isVisible()) {
    await key.fill("any");
    await window.page.getByRole("button", { name: "Sign in" }).click();
    await frame.waitFor();
  }
  return window;
}

async function go(page: Page, section: string, title: string): Promise<void> {
  await page.evaluate((to) => (location.hash = `#/${to}`), section);
  await page.getByRole("heading", { level: 1, name: title, exact: true }).waitFor();
  await page.locator(".loading").first().waitFor({ state: "detached" });
}

/** What the browser reports, without the answers 404 of sections whose routes this gateway does not have. */
const faults = (window: Window): string[] => window.errors.filter((text) => !/status of (401|404|405)/.test(text));

describe("every section", () => {
  for (const size of Object.keys(SIZES) as Size[])
    for (const scheme of ["light", "dark"] as Scheme[])
      it(
        `is whole and readable at ${size} size in ${scheme} colours`,
        async () => {
          const window = await signedIn(size, scheme);
          const found: string[] = [];
          for (const [section, title] of SECTIONS) {
            await go(window.page, section, title);
            const where = `${section} ${size} ${scheme}`;
            await picture(window.page, `console-${section.replaceAll("/", "-")}-${size}-${scheme}`);
            found.push(...(await cutOff(window.page)).map((text) => `${where}: ${text}`));
            found.push(...(await accessibilityFaults(window.page)).map((text) => `${where}: ${text}`));
          }
          expect(found).toEqual([]);
          expect(faults(window)).toEqual([]);
          expect(window.strangers).toEqual([]);
          await window.context.close();
        },
        SLOW_MS,
      );

  it("can be reached from the one navigation, by keyboard too", async () => {
    const window = await signedIn("desktop");
    const links = window.page.getByRole("navigation", { name: "Sections" }).getByRole("link");
    expect(await links.count()).toBe(16);
    await window.page.keyboard.press("/");
    await window.page.getByRole("combobox").fill("tpl");
    await window.page.keyboard.press("Enter");
    await window.page.getByRole("heading", { level: 1, name: "Topology" }).waitFor();
    await window.page.keyboard.press("Control+k");
    await window.page.getByRole("combobox").fill("cities: sett");
    await window.page.keyboard.press("ArrowDown");
    await window.page.keyboard.press("ArrowUp");
    await window.page.keyboard.press("Enter");
    await window.page.getByRole("heading", { level: 1, name: "cities" }).waitFor();
    await window.page.keyboard.press("/");
    await window.page.getByRole("combobox").waitFor();
    await window.page.keyboard.press("Escape");
    await window.page.getByRole("combobox").waitFor({ state: "detached" });
    await window.context.close();
  });

  it("opens its menu on a phone and closes it again", async () => {
    const window = await signedIn("phone");
    await window.page.getByRole("button", { name: "Menu" }).click();
    await picture(window.page, "console-menu-phone-light");
    await window.page.getByRole("link", { name: "Documents" }).click();
    await window.page.getByRole("heading", { level: 1, name: "Documents" }).waitFor();
    await window.page.getByRole("link", { name: "Aliases" }).waitFor({ state: "hidden" });
    await window.context.close();
  });
});

describe("an operator", () => {
  it(
    "makes an index, drops a file, filters, changes a setting with its diff, flips an alias, and cleans up",
    async () => {
      const window = await signedIn("desktop");
      const { page } = window;
      await go(page, "indexes/+new", "Indexes");
      const form = page.getByRole("dialog");
      await form.getByLabel("Name").fill("lamps");
      await form.getByLabel("Primary key").fill("id");
      await form.getByRole("button", { name: "Create" }).click();
      await page.getByRole("heading", { level: 1, name: "Documents" }).waitFor();
      // A file is dropped, and shows its progress to the end.
      const lamps = Array.from({ length: 60 }, (_, id) => JSON.stringify({ id, name: `Lamp ${id}`, price: id * 10 })).join("\n");
      await page.getByLabel("Files of documents").setInputFiles({ name: "lamps.ndjson", mimeType: "application/x-ndjson", buffer: Buffer.from(lamps) });
      await page.getByText("60 documents indexed").waitFor();
      await page.getByRole("cell", { name: "Lamp 7", exact: true }).waitFor();
      await page.getByLabel("Files of documents").setInputFiles({ name: "lamps.txt", mimeType: "text/plain", buffer: Buffer.from("x") });
      await page.getByText("ends in none of").waitFor();
      // A setting is changed, with its diff and fingerprints before.
      await go(page, "indexes/lamps", "lamps");
      await page.getByLabel("Add to Filterable").fill("price");
      await page.keyboard.press("Enter");
      await page.getByText("1 setting changed, not saved").waitFor();
      await page.getByRole("button", { name: "Review and save" }).click();
      const review = page.getByRole("dialog");
      await review.getByText("Fingerprint after").waitFor();
      const prints = await review.locator("dd.mono").allTextContents();
      expect(new Set(prints).size).toBe(2);
      expect((await review.locator(".diff .new").allTextContents()).join("")).toContain("price");
      await picture(page, "console-settings-diff-desktop-light");
      expect(await accessibilityFaults(page)).toEqual([]);
      await review.getByRole("button", { name: "Save on every node" }).click();
      await page.getByText("The settings hold on every node.").waitFor();
      // The filter builder knows the attribute now.
      await go(page, "documents/lamps", "Documents");
      await page.getByRole("button", { name: "Add a condition" }).click();
      await page.getByLabel("Comparison").selectOption(">=");
      await page.getByLabel("Value").fill("590");
      await page.getByText("1 document match").waitFor();
      // An alias is made and flipped; its history shows.
      await go(page, "aliases", "Aliases");
      await page.getByRole("button", { name: "Create an alias" }).click();
      const alias = page.getByRole("dialog");
      await alias.getByLabel("Name").fill("light");
      await alias.getByLabel("Index", { exact: true }).fill("lamps");
      await alias.getByRole("button", { name: "Create" }).click();
      await page.getByRole("button", { name: "Flip light" }).click();
      await page.getByRole("dialog").getByLabel("Index", { exact: true }).fill("cities");
      await page.getByRole("dialog").getByRole("button", { name: "Flip" }).click();
      await page.getByText("1 earlier version").click();
      await page.getByText("version 1, until").waitFor();
      // What is destroyed asks for its name; half a name does nothing.
      await page.getByRole("button", { name: "Delete light" }).click();
      const confirm = page.getByRole("dialog");
      await confirm.getByLabel("Type light to confirm").fill("ligh");
      expect(await confirm.getByRole("button", { name: "Delete the alias" }).isDisabled()).toBe(true);
      await confirm.getByLabel("Type light to confirm").fill("light");
      await confirm.getByRole("button", { name: "Delete the alias" }).click();
      await page.getByText("The alias light is gone.").waitFor();
      await go(page, "indexes/lamps/delete", "lamps");
      await page.getByRole("button", { name: "Delete the index" }).click();
      await page.getByLabel("Type lamps to confirm").fill("lamps");
      await page.getByRole("dialog").getByRole("button", { name: "Delete the index" }).click();
      await page.getByRole("heading", { level: 1, name: "Indexes" }).waitFor();
      await page.getByRole("cell", { name: "lamps", exact: true }).waitFor({ state: "detached" });
      expect(faults(window)).toEqual([]);
      await window.context.close();
    },
    SLOW_MS,
  );

  it("finds out why a search takes its time, and what is in a task", async () => {
    const window = await signedIn("desktop");
    const { page } = window;
    await go(page, "sandbox/cities", "Query sandbox");
    await page.getByLabel("Query", { exact: true }).fill("san");
    await page.getByLabel("Facets, with commas").fill("country");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Where the time went" }).waitFor();
    await page.getByRole("img", { name: /shards are asked of/ }).waitFor();
    await page.getByRole("heading", { level: 3, name: "country" }).waitFor();
    await page.getByRole("heading", { name: "Hits" }).waitFor();
    await picture(page, "console-explained-desktop-light");
    expect(await accessibilityFaults(page)).toEqual([]);
    await go(page, "tasks", "Tasks");
    await page.getByRole("button", { name: /documentAdditionOrUpdate/ }).last().click();
    await page.getByRole("heading", { name: "Each node's part" }).waitFor();
    await page.getByRole("region", { name: "Each node's part" }).getByText("n0").waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    await window.context.close();
  });

  it("sees changes without reading the page again, and signs out", async () => {
    const window = await signedIn("desktop");
    const { page } = window;
    await go(page, "aliases", "Aliases");
    const body = JSON.stringify({ name: "elsewhere", target: "cities" });
    const headers = { "content-type": "application/json" };
    expect((await fetch(`${gateway}/_miroir/aliases`, { method: "POST", headers, body })).status).toBe(201);
    await page.getByRole("heading", { level: 2, name: "elsewhere" }).waitFor();
    await fetch(`${gateway}/_miroir/aliases/elsewhere`, { method: "DELETE" });
    await page.getByRole("heading", { level: 2, name: "elsewhere" }).waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Admin key").waitFor();
    await picture(page, "console-login-desktop-light");
    expect(await accessibilityFaults(page)).toEqual([]);
    await window.context.close();
  });
});

/** One more node, as an operator starts it. */
async function node(): Promise<{ url: string; stop: () => void }> {
  const data = mkdtempSync(join(tmpdir(), "console-node-"));
  const child = spawn(inject("program"), ["role-node", "--listen", "127.0.0.1:0", "--data", data], { stdio: ["pipe", "pipe", "ignore"] });
  const url = await new Promise<string>((found, failed) => {
    let said = "";
    child.once("exit", (code) => failed(new Error(`the node ended with ${code}`)));
    child.stdout.on("data", (bytes: Buffer) => {
      said += bytes.toString();
      const address = /127\.0\.0\.1:[0-9]+/.exec(said);
      if (address) found(`http://${address[0]}`);
    });
  });
  child.removeAllListeners("exit");
  return {
    url,
    stop: () => {
      child.kill("SIGKILL");
      rmSync(data, { recursive: true, force: true });
    },
  };
}

describe("an operator with a new machine", () => {
  it(
    "adds a node after seeing the plan, watches it fill, drains it, and removes it by its name",
    async () => {
      const fresh = await node();
      const window = await signedIn("desktop");
      const { page } = window;
      const operation = (kind: string) => page.locator(".operations li").filter({ hasText: kind }).first();
      const ended = (kind: string) => operation(kind).getByText("succeeded").waitFor({ timeout: SLOW_MS / 4 });
      await go(page, "topology", "Topology");
      await page.getByRole("button", { name: "Add a node" }).click();
      const form = page.getByRole("dialog");
      await form.getByLabel("Name").fill("n9");
      await form.getByLabel("Address").fill(`${fresh.url}/path`);
      await form.getByText("without a path").waitFor();
      await form.getByLabel("Address").fill(fresh.url);
      await form.getByRole("button", { name: "Show the plan" }).click();
      await page.getByRole("dialog").getByText("Shards that move").waitFor();
      await picture(page, "console-plan-real-desktop-light");
      await page.getByRole("button", { name: "Start" }).click();
      await ended("addNode");
      await page.getByRole("img", { name: /^Node n9, .* holds [1-9]/ }).waitFor();
      await picture(page, "console-filled-desktop-light");
      await page.getByRole("button", { name: "Drain n9" }).click();
      await page.getByRole("dialog").getByText("Shards that move").waitFor();
      await page.getByRole("button", { name: "Start" }).click();
      await ended("drainNode");
      await page.getByRole("img", { name: /^Node n9/ }).waitFor({ state: "detached" });
      await page.getByRole("button", { name: "Remove n9" }).click();
      await page.getByLabel("Type n9 to confirm").fill("n9");
      await page.getByRole("dialog").getByRole("button", { name: "Remove n9" }).click();
      await ended("removeNode");
      await page.getByRole("cell", { name: "n9", exact: true }).waitFor({ state: "detached" });
      expect(faults(window)).toEqual([]);
      await window.context.close();
      fresh.stop();
    },
    SLOW_MS,
  );
});

/** A proxy that serves the gateway below a prefix, as an ingress does. */
async function behind(prefix: string, port = 0): Promise<{ url: string; close: () => Promise<void> }> {
  const { hostname, port: of } = new URL(gateway);
  const proxy: Server = createServer((asked, answer) => {
    if (!asked.url!.startsWith(prefix)) return void answer.writeHead(404).end();
    const path = asked.url!.slice(prefix.length);
    const onward = request({ hostname, port: of, path, method: asked.method, headers: asked.headers }, (got) => {
      answer.writeHead(got.statusCode!, got.headers);
      got.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    asked.pipe(onward);
  });
  await new Promise<void>((up) => proxy.listen(port, "127.0.0.1", up));
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}${prefix}`,
    close: () =>
      new Promise((closed) => {
        proxy.close(() => closed());
        proxy.closeAllConnections();
      }),
  };
}

describe("the page", () => {
  it("works behind a path prefix, and takes up again when the gateway was away", async () => {
    let proxy = await behind("/engine/eu");
    const port = Number(new URL(proxy.url).port);
    const window = await open(browser, new URL(proxy.url).origin, "desktop");
    const { page } = window;
    await page.goto(`${proxy.url}/_miroir/admin`);
    await page.locator(".frame").waitFor();
    for (const [section, title] of [["topology", "Topology"], ["documents/cities", "Documents"]] as const) await go(page, section, title);
    await page.getByRole("cell", { name: "Mogadishu", exact: true }).waitFor();
    expect(window.strangers).toEqual([]);
    await proxy.close();
    await page.getByText("The gateway does not answer.").first().waitFor();
    proxy = await behind("/engine/eu", port);
    await page.getByText("The gateway does not answer.").first().waitFor({ state: "detached" });
    await go(page, "aliases", "Aliases");
    await window.context.close();
    await proxy.close();
  });
});

describe("an attacker", () => {
  it("leaves markup in documents, settings and names, and none of it runs", async () => {
    const evil = '<img src=x onerror="window.__ran=1"><script>window.__ran=1</script>';
    const headers = { "content-type": "application/json" };
    const write = async (method: string, path: string, body: unknown) => {
      const answer = await fetch(gateway + path, { method, headers, body: JSON.stringify(body) });
      const task = (await answer.json()) as { taskUid?: number };
      for (; task.taskUid !== undefined; ) {
        const state = (await (await fetch(`${gateway}/tasks/${task.taskUid}`)).json()) as { finishedAt: string | null };
        if (state.finishedAt) return;
      }
    };
    await write("POST", "/indexes", { uid: "evil", primaryKey: "id" });
    await write("PATCH", "/indexes/evil/settings", { synonyms: { [evil]: [evil] }, stopWords: [evil], filterableAttributes: [evil, "name"] });
    await write("POST", "/indexes/evil/documents", [
      { id: 1, name: evil, [evil]: evil, link: "javascript:window.__ran=1", data: "data:text/html,<script>1</script>", image: "https://images.example.com/a.png" },
    ]);
    const window = await signedIn("desktop");
    const { page } = window;
    await go(page, "documents/evil", "Documents");
    await page.getByRole("button", { name: "Document 1" }).click();
    await page.getByRole("dialog").getByText("javascript:window.__ran=1").waitFor();
    const addresses = await page.locator("a[href]").evaluateAll((links) => links.map((link) => (link as HTMLAnchorElement).protocol));
    expect(addresses.filter((protocol) => !/^https?:$/.test(protocol))).toEqual([]);
    for (const [section, title] of [["indexes/evil", "evil"], ["indexes/evil/fields", "evil"], ["sandbox/evil", "Query sandbox"], ["tasks", "Tasks"]] as const) {
      await go(page, section, title);
    }
    // A name in the address is a name, whatever it holds.
    await page.evaluate((to) => (location.hash = `#/indexes/${encodeURIComponent(to)}`), evil);
    await page.getByText("There is no index").waitFor();
    expect(await page.evaluate(() => (window as unknown as { __ran?: number }).__ran)).toBeUndefined();
    // Pictures of documents are asked of other hosts only when the operator wants to see them.
    expect(window.strangers).toEqual([]);
    await window.context.close();
    await write("DELETE", "/indexes/evil", undefined);
  }, SLOW_MS);

  it("cannot put the page into a frame, nor any script into it", async () => {
    const answer = await fetch(PAGE);
    const policy = answer.headers.get("content-security-policy")!;
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).toContain("script-src 'self';");
    expect(policy).toContain("default-src 'none'");
    expect(answer.headers.get("x-frame-options")).toBe("DENY");
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    const text = await answer.text();
    for (const script of text.split("<script").slice(1)) expect(script).toMatch(/^[^>]*src="\.\/admin\/assets\//);
    const slash = await fetch(`${PAGE}/`, { redirect: "manual" });
    expect([slash.status, slash.headers.get("location")]).toEqual([308, "../admin"]);
  });
});
