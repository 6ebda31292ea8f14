// The page's colours: light or dark, as the visitor, the site or the system wants it, and an accent that can be read.
import { mix, parseHex, readableOn, toHex } from "@shared/colour";

export type Mode = "auto" | "light" | "dark";
export const MODES: Mode[] = ["auto", "light", "dark"];
const KEPT = "miroir-search-theme";
/** The papers of `tokens.css`, on which the accent has to be read. */
const PAPER = { light: [255, 255, 255], dark: [20, 27, 38] } as const;

/** The mode that the visitor has chosen before. */
export function kept(): Mode | null {
  try {
    return MODES.find((mode) => mode === localStorage.getItem(KEPT)) ?? null;
  } catch {
    // A browser may keep nothing for a page in a frame.
    return null;
  }
}

export function keep(mode: Mode): void {
  try {
    localStorage.setItem(KEPT, mode);
  } catch {
    // Then it is chosen anew next time.
  }
}

export function apply(mode: Mode, accent: string | null): void {
  const root = document.documentElement;
  root.dataset.theme = mode;
  const colour = accent ? parseHex(accent) : null;
  if (!colour) return;
  const dark = mode === "dark" || (mode === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  const paper = dark ? PAPER.dark : PAPER.light;
  const strong = readableOn(colour, paper);
  const set = (name: string, value: string) => root.style.setProperty(name, value);
  set("--accent", toHex(strong));
  set("--accent-strong", toHex(mix(strong, dark ? [255, 255, 255] : [0, 0, 0], 0.2)));
  set("--accent-wash", toHex(mix(paper, strong, dark ? 0.18 : 0.1)));
  // On the accent the paper's colour can be read, as the accent can on the paper.
  set("--on-accent", toHex(dark ? [8, 14, 22] : paper));
}
