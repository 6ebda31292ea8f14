// The facets: checkboxes, ranges and stars, each of them a group of its own for keyboards and screen readers.
import { useEffect, useState } from "preact/hooks";
import { usePage } from "../context";
import { Icon, Star } from "./icons";
import { humanize, shown } from "../text";
import type { Facets as Counted } from "../query";
import type { FacetConfig } from "../types";

/** Values that are shown before one asks for all, and from how many on one can search among them. */
const VALUES_SHOWN = 8;
const SEARCHED_FROM = 12;
/** Steps of a slider, and from which proportion on its steps grow with the numbers. */
const STEPS = 200;
const LOGARITHMIC_FROM = 1000;
const STARS = 5;

export function labelOf(facet: FacetConfig): string {
  return facet.label ?? humanize(facet.attribute);
}

/** The name of an attribute, as its facet has it where it has one. */
export function useNames(): (attribute: string) => string {
  const { page } = usePage();
  return (attribute) => {
    const facet = page.facets.find((one) => one.attribute === attribute);
    return facet ? labelOf(facet) : humanize(attribute);
  };
}

export function Facets() {
  const { page, engine } = usePage();
  const { results } = engine.known;
  const shownFacets = page.facets.filter((facet) => {
    const counts = results?.counts[facet.attribute];
    return (counts && Object.keys(counts).length > 0) || isChosen(facet.attribute, engine.state);
  });
  if (results && shownFacets.length === 0) return <FacetsNone />;
  return (
    <div class="facets">
      {shownFacets.map((facet) => (
        <fieldset class="facet" key={facet.attribute}>
          <legend>{labelOf(facet)}</legend>
          <Facet facet={facet} />
        </fieldset>
      ))}
    </div>
  );
}

function FacetsNone() {
  const { locale } = usePage();
  return <p class="facets-none">{locale.words("facet.none")}</p>;
}

function isChosen(attribute: string, state: { values: object; ranges: object; stars: object }): boolean {
  return [state.values, state.ranges, state.stars].some((group) => Object.hasOwn(group, attribute));
}

/** What a facet is, where its configuration leaves it to the page. */
export function kindOf(facet: FacetConfig, counts: Record<string, number>, stats: { min: number; max: number } | undefined) {
  if (facet.kind !== "auto") return facet.kind;
  const values = Object.keys(counts);
  const numbers = stats && values.length > 0 && values.every((value) => value !== "" && !Number.isNaN(Number(value)));
  if (!numbers) return "checkbox" as const;
  if (/rating|stars|score/i.test(facet.attribute) && stats.min >= 0 && stats.max <= STARS) return "stars" as const;
  return values.length > VALUES_SHOWN ? ("range" as const) : ("checkbox" as const);
}

function Facet({ facet }: { facet: FacetConfig }) {
  const { engine } = usePage();
  const { counts, stats }: Counted = engine.known.results ?? { counts: {}, stats: {} };
  const own = counts[facet.attribute] ?? {};
  // A facet stays what it was at first: a narrow search must not turn a range into checkboxes under one's fingers.
  const [kind, setKind] = useState<"checkbox" | "range" | "stars" | null>(null);
  const found = kindOf(facet, own, stats[facet.attribute]);
  useEffect(() => {
    if (kind === null && Object.keys(own).length > 0) setKind(Object.hasOwn(engine.state.ranges, facet.attribute) ? "range" : found);
  });
  switch (kind ?? found) {
    case "range":
      return <Range facet={facet} bounds={stats[facet.attribute]} />;
    case "stars":
      return <Stars facet={facet} counts={own} />;
    default:
      return <Checkboxes facet={facet} counts={own} />;
  }
}

function Checkboxes({ facet, counts }: { facet: FacetConfig; counts: Record<string, number> }) {
  const { engine, locale } = usePage();
  const [all, setAll] = useState(false);
  const [wanted, setWanted] = useState("");
  const chosen = engine.state.values[facet.attribute] ?? [];
  const names = [...new Set([...chosen, ...Object.keys(counts)])];
  const order = (name: string) => (chosen.includes(name) ? 1 : 0);
  names.sort((one, other) => order(other) - order(one) || (counts[other] ?? 0) - (counts[one] ?? 0) || one.localeCompare(other, locale.language));
  const folded = (text: string) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const matching = wanted ? names.filter((name) => folded(name).includes(folded(wanted))) : names;
  const visible = all || wanted ? matching : matching.slice(0, VALUES_SHOWN);
  const toggle = (name: string) => {
    const values = { ...engine.state.values };
    const next = chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name];
    if (next.length > 0) values[facet.attribute] = next;
    else delete values[facet.attribute];
    engine.set({ values });
  };
  const number = new Intl.NumberFormat(locale.language);
  return (
    <>
      {names.length > SEARCHED_FROM && (
        <input
          class="facet-find"
          type="search"
          value={wanted}
          placeholder={locale.words("facet.find", { name: labelOf(facet) })}
          aria-label={locale.words("facet.find", { name: labelOf(facet) })}
          onInput={(event) => setWanted(event.currentTarget.value)}
        />
      )}
      <ul class={all || wanted ? "values scrolled" : "values"}>
        {visible.map((name) => (
          <li key={name}>
            <label class="value">
              <input type="checkbox" checked={chosen.includes(name)} onChange={() => toggle(name)} />
              <span class="box">
                <Icon name="check" />
              </span>
              <span class="value-name">{name === "true" || name === "false" ? shown(name === "true", facet.attribute, locale.language) : name}</span>
              <span class="count">{number.format(counts[name] ?? 0)}</span>
            </label>
          </li>
        ))}
      </ul>
      {!wanted && names.length > VALUES_SHOWN && (
        <button type="button" class="plain" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? locale.words("facet.less") : locale.words("facet.more", { count: names.length })}
        </button>
      )}
    </>
  );
}

/** Where a number stands on a slider, and the other way round. */
export function scale(min: number, max: number) {
  const grows = min >= 0 && max / Math.max(min, 1) >= LOGARITHMIC_FROM;
  const low = Math.log10(Math.max(min, 1));
  const width = grows ? Math.log10(Math.max(max, 1)) - low : max - min;
  return {
    position(value: number): number {
      if (width <= 0) return 0;
      const share = grows ? (Math.log10(Math.max(value, 1)) - low) / width : (value - min) / width;
      return Math.round(Math.max(0, Math.min(1, share)) * STEPS);
    },
    value(position: number): number {
      if (position <= 0) return min;
      if (position >= STEPS) return max;
      const share = position / STEPS;
      const exact = grows ? 10 ** (low + share * width) : min + share * width;
      // Two digits are as much as anybody aims for; whole numbers stay whole.
      const digit = 10 ** Math.floor(Math.log10(Math.max(Math.abs(grows ? exact : width), 1e-9)) - (grows ? 1 : 2));
      const rounded = Math.round(exact / digit) * digit;
      const whole = Number.isInteger(min) && Number.isInteger(max);
      return Math.max(min, Math.min(max, whole ? Math.round(rounded) : Number(rounded.toPrecision(6))));
    },
  };
}

function Range({ facet, bounds }: { facet: FacetConfig; bounds: { min: number; max: number } | undefined }) {
  const { engine, locale } = usePage();
  const chosen = engine.state.ranges[facet.attribute];
  const [kept, setKept] = useState(bounds);
  useEffect(() => {
    if (bounds) setKept(bounds);
  }, [bounds?.min, bounds?.max]);
  const [draft, setDraft] = useState<{ from: number; to: number } | null>(null);
  const edges = bounds ?? kept;
  if (!edges) return null;
  const { min, max } = edges;
  const from = draft?.from ?? chosen?.from ?? min;
  const to = draft?.to ?? chosen?.to ?? max;
  const { position, value } = scale(min, max);
  const commit = (range: { from: number; to: number }) => {
    setDraft(null);
    const ranges = { ...engine.state.ranges };
    const next = { from: range.from <= min ? null : range.from, to: range.to >= max ? null : range.to };
    if (next.from === null && next.to === null) delete ranges[facet.attribute];
    else ranges[facet.attribute] = next;
    engine.set({ ranges });
  };
  const name = labelOf(facet);
  const text = (number: number) => shown(number, facet.attribute, locale.language);
  const slider = (end: "from" | "to") => (
    <input
      type="range"
      min={0}
      max={STEPS}
      value={position(end === "from" ? from : to)}
      aria-label={locale.words(`range.${end}`, { name })}
      aria-valuetext={text(end === "from" ? from : to)}
      onInput={(event) => {
        const moved = value(Number(event.currentTarget.value));
        setDraft(end === "from" ? { from: Math.min(moved, to), to } : { from, to: Math.max(moved, from) });
      }}
      onChange={() => commit({ from, to })}
    />
  );
  const field = (end: "from" | "to") => (
    <input
      class="number"
      type="text"
      inputMode="decimal"
      aria-label={locale.words(`range.${end}`, { name })}
      value={text(end === "from" ? from : to)}
      onFocus={(event) => {
        event.currentTarget.value = String(end === "from" ? from : to);
        event.currentTarget.select();
      }}
      onBlur={(event) => {
        event.currentTarget.value = text(end === "from" ? from : to);
      }}
      onChange={(event) => {
        const typed = Number(event.currentTarget.value.replace(",", "."));
        if (event.currentTarget.value.trim() === "" || !Number.isFinite(typed)) return;
        commit(end === "from" ? { from: typed, to: Math.max(typed, to) } : { from: Math.min(typed, from), to: typed });
      }}
    />
  );
  const [start, end] = [position(from) / STEPS, position(to) / STEPS];
  // Where all hits have one number there is nothing to slide.
  if (min === max) return <p class="single">{text(min)}</p>;
  return (
    <div class="range">
      <div class="slider" style={{ "--start": String(start), "--end": String(end) }}>
        <span class="track" />
        {slider("from")}
        {slider("to")}
      </div>
      <div class="bounds">
        {field("from")}
        <span aria-hidden="true">–</span>
        {field("to")}
      </div>
    </div>
  );
}

function Stars({ facet, counts }: { facet: FacetConfig; counts: Record<string, number> }) {
  const { engine, locale } = usePage();
  const chosen = engine.state.stars[facet.attribute];
  const number = new Intl.NumberFormat(locale.language);
  const choose = (least: number) => {
    const stars = { ...engine.state.stars };
    if (chosen === least) delete stars[facet.attribute];
    else stars[facet.attribute] = least;
    engine.set({ stars });
  };
  return (
    <ul class="values">
      {Array.from({ length: STARS - 1 }, (_, at) => STARS - 1 - at).map((least) => {
        const count = Object.entries(counts).reduce((sum, [value, found]) => (Number(value) >= least ? sum + found : sum), 0);
        return (
          <li key={least}>
            <button type="button" class="value stars" aria-pressed={chosen === least} disabled={count === 0 && chosen !== least} onClick={() => choose(least)}>
              <span class="unseen">{locale.words("stars.up", { count: least })}</span>
              <span class="star-row" aria-hidden="true">
                {Array.from({ length: STARS }, (_, star) => (
                  <Star full={star < least} key={star} />
                ))}
              </span>
              <span class="count">{number.format(count)}</span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}
