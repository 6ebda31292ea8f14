// What stands where hits would: nothing found, nothing there, something wrong, a key to be entered.
import { useState } from "preact/hooks";
import { usePage } from "../context";
import { Icon } from "./icons";
import type { Locale } from "../locale";
import { filterCount, NOTHING } from "../state";
import type { Failure } from "../types";

export function NoHits() {
  const { engine, locale } = usePage();
  const { state, known } = engine;
  const filtered = filterCount(state) > 0;
  if (!state.q && !filtered) {
    return <Notice icon="empty" title={locale.words("empty.title")} text={locale.words("empty.text")} />;
  }
  const title = state.q ? locale.words("none.title", { query: state.q }) : locale.words("none.plain");
  return (
    <Notice icon="lost" title={title} text={locale.words(filtered ? "none.filtered" : "none.text")} quiet={known.loading}>
      {filtered && (
        <button type="button" class="button main" onClick={() => engine.set({ values: NOTHING.values, ranges: NOTHING.ranges, stars: NOTHING.stars })}>
          {locale.words("filters.clear")}
        </button>
      )}
      {state.q && (
        <button type="button" class="button" onClick={() => engine.set({ q: "" })}>
          {locale.words("clear")}
        </button>
      )}
    </Notice>
  );
}

/** What went wrong, in words, and what can be done about it. */
export function Wrong({ failure, locale, retry, alone }: { failure: Failure; locale: Locale; retry(): void; alone?: boolean }) {
  const busy = failure.status === 429 || failure.code === "miroir_overloaded";
  const text = failure.code === "unreachable" ? locale.words("error.unreachable") : busy ? locale.words("error.busy") : failure.message;
  return (
    <Notice icon="broken" title={locale.words("error.title")} text={text} alone={alone} alert>
      <button type="button" class="button main" onClick={retry}>
        {locale.words("error.retry")}
      </button>
    </Notice>
  );
}

/** Asks for the key of a page whose mode is `shared_key`. */
export function KeyForm({ locale, wrong, enter }: { locale: Locale; wrong: boolean; enter(key: string): void }) {
  const [key, setKey] = useState("");
  return (
    <form
      class="key-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (key) enter(key);
      }}
    >
      <Notice icon="key" title={locale.words("key.title")} text={locale.words("key.text")} alone>
        <label class="key-field">
          <span class="unseen">{locale.words("key.label")}</span>
          <input
            type="password"
            autocomplete="current-password"
            value={key}
            aria-invalid={wrong}
            aria-describedby={wrong ? "key-wrong" : undefined}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="button main">
          {locale.words("key.open")}
        </button>
      </Notice>
      {wrong && (
        <p class="key-wrong" id="key-wrong" role="alert">
          {locale.words("key.wrong")}
        </p>
      )}
    </form>
  );
}

function Notice(props: {
  icon: "lost" | "empty" | "broken" | "key";
  title: string;
  text: string;
  alert?: boolean;
  quiet?: boolean;
  /** Whether it is the whole page. */
  alone?: boolean;
  children?: preact.ComponentChildren;
}) {
  const Heading = props.alone ? "h1" : "h2";
  return (
    <div class={props.quiet ? "notice quiet" : "notice"} role={props.alert ? "alert" : undefined}>
      <span class={`notice-icon ${props.icon}`}>
        <Icon name={props.icon} width="28" height="28" />
      </span>
      <Heading>{props.title}</Heading>
      <p>{props.text}</p>
      {props.children && <div class="actions">{props.children}</div>}
    </div>
  );
}

/** Where hits will be, while the first ones come. */
export function Skeleton() {
  return (
    <div class="skeleton" aria-hidden="true">
      {[64, 48, 72, 40, 56, 68].map((width) => (
        <div class="bone" key={width}>
          <span class={`w${width}`} />
          <span />
        </div>
      ))}
    </div>
  );
}
