// Above the hits: how many there are, in which order and in which form they stand, and which filters hold.
import { usePage } from "../context";
import { useNames } from "./facets";
import { Icon } from "./icons";
import { counted } from "../locale";
import { filterCount, NOTHING } from "../state";
import { shown } from "../text";
import type { View } from "../types";

const VIEWS: View[] = ["list", "card", "grid", "table"];
/** A node counts no further, so that such a total is "more than". */
const TOTAL_MAX = 1000;

export function Toolbar({ view, openFilters }: { view: View; openFilters(): void }) {
  const { page, engine, locale } = usePage();
  const { results, loading, failure } = engine.known;
  const filters = filterCount(engine.state);
  const total = results?.total ?? 0;
  return (
    <div class="toolbar">
      <p class="total" role="status" aria-live="polite" aria-atomic="true">
        {results && !failure && (
          <>
            <span class="number">{counted(locale, total, total >= TOTAL_MAX && total % TOTAL_MAX === 0)}</span>
            {!loading && <span class="time">{locale.words("milliseconds", { count: results.milliseconds })}</span>}
          </>
        )}
      </p>
      {page.facets.length > 0 && (
        <button type="button" class="button filters-open" aria-haspopup="dialog" onClick={openFilters}>
          <Icon name="filters" />
          {locale.words("filters")}
          {filters > 0 && <span class="bubble">{filters}</span>}
        </button>
      )}
      {page.sorts.length > 0 && <SortBox />}
      {!page.template && (
        <div class="views" role="group" aria-label={locale.words("view")}>
          {VIEWS.map((one) => (
            <button
              type="button"
              key={one}
              aria-pressed={view === one}
              aria-label={locale.words(`view.${one}`)}
              title={locale.words(`view.${one}`)}
              onClick={() => engine.set({ view: one === page.layout ? null : one, page: engine.state.page })}
            >
              <Icon name={one} />
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

function SortBox() {
  const { page, engine, locale } = usePage();
  const name = useNames();
  const label = (sort: string) => {
    const [attribute = "", direction = "asc"] = sort.split(":");
    return locale.words(direction === "desc" ? "sort.desc" : "sort.asc", { name: name(attribute) });
  };
  const known = page.sorts.some((one) => one.sort === engine.state.sort);
  return (
    <label class="sort">
      <span class="unseen">{locale.words("sort")}</span>
      <select value={known ? (engine.state.sort ?? "") : ""} onChange={(event) => engine.set({ sort: event.currentTarget.value || null })}>
        <option value="">{locale.words("sort.relevance")}</option>
        {page.sorts.map((one) => (
          <option value={one.sort} key={one.sort}>
            {one.label ?? label(one.sort)}
          </option>
        ))}
      </select>
      <Icon name="down" />
    </label>
  );
}

/** The filters that hold, each with a button that takes it away. */
export function Chips() {
  const { engine, locale } = usePage();
  const { state } = engine;
  if (filterCount(state) === 0) return null;
  const name = useNames();
  const text = (attribute: string, number: number | null) => (number === null ? "…" : shown(number, attribute, locale.language));
  const without = <T,>(group: Record<string, T>, attribute: string) => Object.fromEntries(Object.entries(group).filter(([other]) => other !== attribute));
  const chips: { label: string; remove(): void }[] = [];
  for (const [attribute, values] of Object.entries(state.values)) {
    for (const value of values) {
      const left = values.filter((other) => other !== value);
      const next = left.length > 0 ? { ...state.values, [attribute]: left } : without(state.values, attribute);
      chips.push({ label: `${name(attribute)}: ${value}`, remove: () => engine.set({ values: next }) });
    }
  }
  for (const [attribute, { from, to }] of Object.entries(state.ranges)) {
    const label = `${name(attribute)}: ${text(attribute, from)} – ${text(attribute, to)}`;
    chips.push({ label, remove: () => engine.set({ ranges: without(state.ranges, attribute) }) });
  }
  for (const [attribute, least] of Object.entries(state.stars)) {
    chips.push({ label: `${name(attribute)}: ★ ${least}+`, remove: () => engine.set({ stars: without(state.stars, attribute) }) });
  }
  return (
    <ul class="chips">
      {chips.map(({ label, remove }) => (
        <li key={label}>
          <button type="button" class="chip" aria-label={locale.words("filters.remove", { label })} onClick={remove}>
            <span>{label}</span>
            <Icon name="close" width="14" height="14" />
          </button>
        </li>
      ))}
      <li>
        <button type="button" class="plain" onClick={() => engine.set({ values: NOTHING.values, ranges: NOTHING.ranges, stars: NOTHING.stars })}>
          {locale.words("filters.clear")}
        </button>
      </li>
    </ul>
  );
}
