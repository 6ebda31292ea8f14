// What every part of the page needs: its configuration, its words, and what happens when a visitor acts.
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Engine } from "./engine";
import type { Locale } from "./locale";
import type { Hit, PageConfig } from "./types";

export interface Context {
  page: PageConfig;
  engine: Engine;
  locale: Locale;
  /** Opens the details of a hit; the position is from 0. */
  open(hit: Hit, position: number): void;
  /** Notes that a hit was followed. */
  clicked(hit: Hit, position: number): void;
}

const PageContext = createContext<Context | null>(null);
export const Provide = PageContext.Provider;

export function usePage(): Context {
  const context = useContext(PageContext);
  if (!context) throw new Error("no page around this part");
  return context;
}
