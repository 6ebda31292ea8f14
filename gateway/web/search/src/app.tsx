// The page as a visitor sees it.
import { useEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import type { Gateway } from "./api";
import type { Beacons } from "./beacons";
import { type Context, Provide, usePage } from "./context";
import { Details, FilterSheet } from "./view/dialogs";
import { Engine } from "./engine";
import { Facets } from "./view/facets";
import { Hits, keyOf, OPENER } from "./view/hits";
import { Icon } from "./view/icons";
import type { Locale } from "./locale";
import { NoHits, Skeleton, Wrong } from "./view/notices";
import { Pager } from "./view/pager";
import { format, parse } from "./state";
import { apply, keep, kept, MODES, type Mode } from "./theme";
import { Chips, Toolbar } from "./view/toolbar";
import type { Hit, PageConfig, View } from "./types";

export interface AppProps {
  gateway: Gateway;
  page: PageConfig;
  locale: Locale;
  beacons: Beacons;
  /** Whether another page frames this one. */
  embedded: boolean;
  /** Tells the framing page that a hit was followed. */
  tell(hit: Hit, position: number): void;
}

export function App({ gateway, page, locale, beacons, embedded, tell }: AppProps) {
  const [, redraw] = useReducer((count: number, _: void) => count + 1, 0);
  const [sheet, setSheet] = useState(false);
  const [detail, setDetail] = useState<Hit | null>(null);
  const box = useRef<HTMLInputElement>(null);
  const top = useRef<HTMLElement>(null);
  const engine = useMemo(() => {
    const asked = parse(location.search);
    // Endless lists begin at their beginning.
    const state = page.pagination === "scroll" ? { ...asked, page: 1 } : asked;
    return new Engine(gateway, page, state, () => redraw());
  }, [gateway, page]);

  useEffect(() => void engine.run(), [engine]);
  useAddress(engine, page);
  useShortcuts(box);

  const { known, state } = engine;
  const answered = known.results;
  useEffect(() => {
    if (answered && known.took > 0) beacons.latency(known.took);
  }, [answered]);

  const clicked = (hit: Hit, position: number) => {
    beacons.click(engine.state.q, keyOf(hit, page.primaryKey, position).replace(/^k/, ""), position + 1);
    tell(hit, position);
  };
  const context: Context = {
    page,
    engine,
    locale,
    clicked,
    open(hit, position) {
      clicked(hit, position);
      setDetail(hit);
    },
  };
  const view = state.view ?? page.layout;
  return (
    <Provide value={context}>
      <a class="skip" href="#results">
        {locale.words("skip")}
      </a>
      <header class="head">
        <div class="head-row">
          {embedded ? (
            <h1 class="unseen">{page.title}</h1>
          ) : (
            <div class="brand">
              <h1>
                <bdi>{page.title}</bdi>
              </h1>
              {page.subtitle && (
                <p>
                  <bdi>{page.subtitle}</bdi>
                </p>
              )}
            </div>
          )}
          <SearchBox input={box} />
          {!embedded && <ThemeButton page={page} locale={locale} />}
        </div>
        <div class={known.loading && answered ? "progress busy" : "progress"} aria-hidden="true" />
      </header>
      <main class={page.facets.length > 0 ? "columns" : "columns single"} ref={top}>
        {page.facets.length > 0 && (
          <aside class="sidebar" aria-label={locale.words("filters")}>
            <Facets />
          </aside>
        )}
        <section class="results" id="results" tabIndex={-1} aria-label={locale.words("results")} aria-busy={known.loading} onKeyDown={walk}>
          <h2 class="unseen">{locale.words("results")}</h2>
          <Toolbar view={view} openFilters={() => setSheet(true)} />
          <Chips />
          <Body view={view} turned={() => top.current?.scrollIntoView({ block: "start" })} />
        </section>
      </main>
      {sheet && <FilterSheet close={() => setSheet(false)} />}
      {detail && <Details hit={detail} close={() => setDetail(null)} />}
    </Provide>
  );
}

function Body({ view, turned }: { view: View; turned(): void }) {
  const { engine, locale } = usePage();
  const { failure, results } = engine.known;
  if (failure) return <Wrong failure={failure} locale={locale} retry={() => void engine.run()} />;
  if (!results) return <Skeleton />;
  if (results.hits.length === 0) return <NoHits />;
  return (
    <>
      <Hits view={view} />
      <Pager turned={turned} />
    </>
  );
}

function SearchBox({ input }: { input: { current: HTMLInputElement | null } }) {
  const { page, engine, locale } = usePage();
  const { q } = engine.state;
  const label = page.placeholder ?? locale.words("search");
  return (
    <form
      class="search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        void engine.run();
      }}
    >
      <Icon name="search" />
      <input
        ref={input}
        type="search"
        name="q"
        enterkeyhint="search"
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        aria-label={label}
        aria-controls="results"
        placeholder={label}
        value={q}
        onInput={(event) => engine.set({ q: event.currentTarget.value }, true)}
        onKeyDown={(event) => {
          if (event.key === "Escape" && q) {
            event.preventDefault();
            engine.set({ q: "" });
          } else if (event.key === "ArrowDown") {
            const first = document.querySelector<HTMLElement>(`[${OPENER}]`);
            if (!first) return;
            event.preventDefault();
            first.focus();
          }
        }}
      />
      {q ? (
        <button
          type="button"
          class="round"
          aria-label={locale.words("clear")}
          onClick={() => {
            engine.set({ q: "" });
            input.current?.focus();
          }}
        >
          <Icon name="close" />
        </button>
      ) : (
        <kbd aria-hidden="true">/</kbd>
      )}
    </form>
  );
}

function ThemeButton({ page, locale }: { page: PageConfig; locale: Locale }) {
  const [mode, setMode] = useState<Mode>(() => kept() ?? page.theme.mode);
  const label = locale.words("theme", { mode: locale.words(`theme.${mode}`) });
  return (
    <button
      type="button"
      class="round theme"
      aria-label={label}
      title={label}
      onClick={() => {
        const next = MODES[(MODES.indexOf(mode) + 1) % MODES.length]!;
        setMode(next);
        keep(next);
        apply(next, page.theme.accent);
      }}
    >
      <Icon name={mode} />
    </button>
  );
}

/** Keeps the address as the state is, and the state as the address is when the visitor goes back. */
function useAddress(engine: Engine, page: PageConfig): void {
  const written = useRef(location.search);
  const typed = useRef(engine.state.q);
  useEffect(() => {
    const kept = new URLSearchParams(location.search);
    const state = page.pagination === "scroll" ? { ...engine.state, page: 1 } : engine.state;
    const search = format(state, kept);
    if (search === written.current) return;
    // Typing is one step back, anything else a step of its own.
    const typing = typed.current !== engine.state.q;
    typed.current = engine.state.q;
    written.current = search;
    history[typing ? "replaceState" : "pushState"](null, "", `${location.pathname}${search}${location.hash}`);
  });
  useEffect(() => {
    const back = () => {
      const state = parse(location.search);
      written.current = location.search;
      typed.current = state.q;
      engine.set(state);
    };
    addEventListener("popstate", back);
    return () => removeEventListener("popstate", back);
  }, [engine]);
}

/** `/` goes to the search box from anywhere but a field. */
function useShortcuts(box: { current: HTMLInputElement | null }): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const inField = event.target instanceof HTMLElement && event.target.closest("input:not([type=checkbox]):not([type=range]), textarea, select, dialog");
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || inField) return;
      event.preventDefault();
      box.current?.focus();
      box.current?.select();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

/** Arrow keys walk through the hits; up from the first one leads back to the search box. */
function walk(event: KeyboardEvent): void {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  const openers = [...document.querySelectorAll<HTMLElement>(`[${OPENER}]`)];
  const at = openers.indexOf(document.activeElement as HTMLElement);
  if (event.key === "Escape" && at >= 0) {
    document.querySelector<HTMLElement>(".search input")?.focus();
    return;
  }
  if (step === 0 || at < 0) return;
  event.preventDefault();
  if (at + step < 0) document.querySelector<HTMLElement>(".search input")?.focus();
  else openers[Math.min(at + step, openers.length - 1)]?.focus();
}
