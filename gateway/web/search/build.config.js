// The page and the notice that an index has none, which share nothing but their look.
import { existsSync } from "node:fs";
import { resolve } from "node:path";

const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;
const pages = ["index", "missing"].filter((name) => existsSync(resolve(here, `${name}.html`)));

export default [
  { build: { rollupOptions: { input: Object.fromEntries(pages.map((name) => [name, resolve(here, `${name}.html`)])) } } },
];
