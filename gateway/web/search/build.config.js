// Two bundles: the page with the notice that an index has none, and the component that other pages load.
import { resolve } from "node:path";

const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;
const at = (name) => resolve(here, name);

export default [
  { build: { rollupOptions: { input: { index: at("index.html"), missing: at("missing.html") } } } },
  {
    publicDir: false,
    build: {
      lib: { entry: at("src/widget.ts"), formats: ["iife"], name: "MiroirSearch", fileName: () => "widget.js" },
    },
  },
];
