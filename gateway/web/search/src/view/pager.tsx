// From one page of hits to the next: by number, or by scrolling, with a button for those who do not scroll.
import { useEffect, useRef } from "preact/hooks";
import { usePage } from "../context";
import { Icon } from "./icons";

/** The numbers around the current page; 0 stands for what is left out. */
export function numbers(page: number, pages: number): number[] {
  const wanted = new Set([1, pages, page - 1, page, page + 1]);
  if (page <= 3) [2, 3, 4].forEach((number) => wanted.add(number));
  if (page >= pages - 2) [pages - 3, pages - 2, pages - 1].forEach((number) => wanted.add(number));
  const sorted = [...wanted].filter((number) => number >= 1 && number <= pages).sort((one, other) => one - other);
  return sorted.flatMap((number, at) => {
    const before = sorted[at - 1] ?? number - 1;
    if (number - before === 2) return [number - 1, number];
    return number - before > 2 ? [0, number] : [number];
  });
}

export function Pager({ turned }: { turned(): void }) {
  const { page, engine, locale } = usePage();
  const results = engine.known.results;
  if (!results || results.pages <= 1) return null;
  if (page.pagination === "scroll") return <Endless />;
  const go = (number: number) => {
    engine.set({ page: number });
    turned();
  };
  const current = results.page;
  return (
    <nav class="pager" aria-label={locale.words("page.of")}>
      <button type="button" class="step" aria-label={locale.words("page.previous")} disabled={current <= 1} onClick={() => go(current - 1)}>
        <Icon name="previous" class="icon mirrored" />
        <span>{locale.words("page.previous")}</span>
      </button>
      <ol>
        {numbers(current, results.pages).map((number, at) => (
          <li key={number || `gap${at}`}>
            {number === 0 ? (
              <span class="gap" aria-hidden="true">
                …
              </span>
            ) : (
              <button
                type="button"
                aria-current={number === current ? "page" : undefined}
                aria-label={locale.words("page.number", { number })}
                onClick={() => go(number)}
              >
                {new Intl.NumberFormat(locale.language).format(number)}
              </button>
            )}
          </li>
        ))}
      </ol>
      <button type="button" class="step" aria-label={locale.words("page.next")} disabled={current >= results.pages} onClick={() => go(current + 1)}>
        <span>{locale.words("page.next")}</span>
        <Icon name="next" class="icon mirrored" />
      </button>
    </nav>
  );
}

function Endless() {
  const { engine, locale } = usePage();
  const end = useRef<HTMLDivElement>(null);
  const results = engine.known.results;
  const left = results ? results.page < results.pages : false;
  useEffect(() => {
    if (!end.current || !left) return;
    const seen = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && engine.more(), { rootMargin: "400px" });
    seen.observe(end.current);
    return () => seen.disconnect();
  }, [left, results?.page, engine]);
  if (!left) return null;
  return (
    <div class="endless" ref={end}>
      <button type="button" class="button" onClick={() => engine.more()}>
        {locale.words("more")}
      </button>
    </div>
  );
}
