// Builds every interface into `dist/`, or into the folder that is given: each app folder with an `index.html` becomes a
// folder there. The gateway embeds what `dist/` holds, so building the gateway needs no Node.js.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { build } from "vite";

/** The apps, in the order in which they are built. */
const APPS = ["search", "console"];

const root = import.meta.dirname ?? new URL(".", import.meta.url).pathname;
const out = resolve(process.argv[2] ?? resolve(root, "dist"));

for (const app of APPS) {
  const folder = resolve(root, app);
  if (!existsSync(resolve(folder, "index.html"))) continue;
  const settings = existsSync(resolve(folder, "build.config.js"))
    ? (await import(resolve(folder, "build.config.js"))).default
    : [{}];
  // An app may need several bundles, as a page and a component that other pages load.
  for (const [number, one] of settings.entries()) {
    await build(settingsOf(folder, resolve(out, app), number === 0, one));
  }
}

/** What all apps share: hashed names, no source maps, no address of any other host, JSX by Preact. */
function settingsOf(folder, outDir, first, own) {
  return {
    configFile: false,
    root: folder,
    // Addresses are relative, so that the gateway may stand behind any path prefix.
    base: "./",
    logLevel: "warn",
    publicDir: existsSync(resolve(folder, "public")) ? "public" : false,
    esbuild: {
      jsx: "automatic",
      jsxImportSource: "preact",
      legalComments: "none",
    },
    resolve: { alias: { "@shared": resolve(root, "shared") } },
    ...own,
    build: {
      target: "es2021",
      outDir,
      emptyOutDir: first,
      modulePreload: false,
      assetsDir: "",
      // Nothing becomes a data: address, which the pages' policy would refuse.
      assetsInlineLimit: 0,
      sourcemap: false,
      reportCompressedSize: false,
      ...own.build,
    },
  };
}
