// What opens over the page: the filters on a small window, and the details of a hit.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { usePage } from "../context";
import { Facets, useNames } from "./facets";
import { Icon } from "./icons";
import { Marked } from "./marked";
import { filterCount, NOTHING } from "../state";
import { shown, valueOf } from "../text";
import type { Hit } from "../types";

/** A modal dialog of the browser's own: it keeps the focus inside, closes by Escape, and gives the focus back. */
function Dialog({ title, kind, close, children, footer }: { title: string; kind: string; close(): void; children: ComponentChildren; footer?: ComponentChildren }) {
  const { locale } = usePage();
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    const shown = dialog.current;
    shown?.showModal();
    document.documentElement.classList.add("covered");
    return () => {
      document.documentElement.classList.remove("covered");
      // While it is open, nothing outside it can have the focus.
      shown?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={`dialog ${kind}`}
      aria-labelledby={id}
      onClose={close}
      onCancel={close}
      onClick={(event) => {
        // A click on the backdrop is one on the dialog itself.
        if (event.target === dialog.current) close();
      }}
    >
      <div class="dialog-box">
        <header>
          <h2 id={id}>{title}</h2>
          <button type="button" class="round" aria-label={locale.words("close")} onClick={close}>
            <Icon name="close" />
          </button>
        </header>
        <div class="dialog-body">{children}</div>
        {footer && <footer>{footer}</footer>}
      </div>
    </dialog>
  );
}

export function FilterSheet({ close }: { close(): void }) {
  const { engine, locale } = usePage();
  const count = new Intl.NumberFormat(locale.language).format(engine.known.results?.total ?? 0);
  const footer = (
    <>
      <button
        type="button"
        class="button"
        disabled={filterCount(engine.state) === 0}
        onClick={() => engine.set({ values: NOTHING.values, ranges: NOTHING.ranges, stars: NOTHING.stars })}
      >
        {locale.words("filters.clear")}
      </button>
      <button type="button" class="button main" onClick={close}>
        {locale.words("filters.show", { count })}
      </button>
    </>
  );
  return (
    <Dialog title={locale.words("filters")} kind="sheet" close={close} footer={footer}>
      <Facets />
    </Dialog>
  );
}

export function Details({ hit, close }: { hit: Hit; close(): void }) {
  const { engine, locale } = usePage();
  const label = useNames();
  const attribute = engine.known.shown?.title ?? "id";
  const title = shown(valueOf(hit, attribute), attribute, locale.language) || locale.words("untitled");
  const names = Object.keys(hit).filter((name) => (!name.startsWith("_") || name === "_geo") && hit[name] !== null && hit[name] !== "");
  return (
    <Dialog title={title} kind="details" close={close}>
      <dl class="attributes">
        {names.map((name) => (
          <div key={name}>
            <dt>{label(name)}</dt>
            <dd>
              <Value hit={hit} name={name} />
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

function Value({ hit, name }: { hit: Hit; name: string }) {
  const { locale } = usePage();
  const value = hit[name];
  const isTree = typeof value === "object" && value !== null && !(name === "_geo") && !(Array.isArray(value) && value.every((member) => typeof member !== "object"));
  if (isTree) return <pre>{JSON.stringify(value, null, 2)}</pre>;
  return <Marked hit={hit} attribute={name} language={locale.language} />;
}
