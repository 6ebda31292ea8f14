// Tests of single functions stand beside what they test; those in a real browser are under `tests/`.
import { resolve } from "node:path";
import { defineConfig } from "vitest/config";

const browser = process.env.MIROIR_WEB_TESTS === "browser";
const root = import.meta.dirname ?? new URL(".", import.meta.url).pathname;

export default defineConfig({
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  resolve: { alias: { "@shared": resolve(root, "shared") } },
  test: {
    include: browser ? ["tests/**/*.browser.ts"] : ["{shared,search,console}/**/*.test.{ts,tsx}"],
    environment: "node",
    // One cluster and one browser serve all files, one after the other.
    ...(browser
      ? { globalSetup: ["tests/cluster.ts"], fileParallelism: false, testTimeout: 120_000, hookTimeout: 300_000 }
      : {}),
  },
});
