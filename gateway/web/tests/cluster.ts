// Starts one cluster for all tests in the browser: the `miroir-dev` that cargo has built, with its sample.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { TestProject } from "vitest/node";

/** How long the cluster may take; a machine that builds beside it is slow. */
const READY_MAX_MS = 240_000;

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const program = find();
  const sharedKey = "the-shared-key-of-tests";
  const env = { ...process.env, SEARCH_UI_SHARED_KEY: sharedKey };
  const child = spawn(program, ["--listen", "127.0.0.1:0"], { env, stdio: ["ignore", "ignore", "pipe"] });
  project.provide("sharedKey", sharedKey);
  project.provide("gateway", await address(child));
  project.provide("program", program);
  return async () => {
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGTERM");
    await ended;
  };
}

/** The program that MIROIR_DEV names, or the one in cargo's folder. */
function find(): string {
  const target = process.env.CARGO_TARGET_DIR ?? resolve(import.meta.dirname, "../../../target");
  const program = process.env.MIROIR_DEV ?? resolve(target, "debug/miroir-dev");
  if (!existsSync(program)) throw new Error(`${program} is missing: build it with cargo, or name another in MIROIR_DEV`);
  return program;
}

/** Waits for the line that names the gateway. */
function address(child: ChildProcess): Promise<string> {
  return new Promise((found, failed) => {
    let said = "";
    const late = setTimeout(() => failed(new Error(`miroir-dev is not ready:\n${said}`)), READY_MAX_MS);
    child.stderr!.on("data", (bytes: Buffer) => {
      said += bytes.toString();
      const url = /gateway\s+(http:\/\/\S+)/.exec(said);
      if (url && said.includes("Ctrl-C")) {
        clearTimeout(late);
        found(url[1]!);
      }
    });
    child.once("exit", (code) => failed(new Error(`miroir-dev ended with ${code}:\n${said}`)));
  });
}

declare module "vitest" {
  export interface ProvidedContext {
    gateway: string;
    sharedKey: string;
    /** The program that was started, which also plays a node. */
    program: string;
  }
}
