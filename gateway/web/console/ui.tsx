// The parts that every section is made of.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Refusal } from "./api";
import { canonical, isImage, isLink } from "./text";

type Tone = "good" | "warn" | "bad" | "info" | "plain";

const PATHS: Record<string, string> = {
  overview: "M3 13h7V3H3zM14 21h7V11h-7zM14 3v4h7V3zM3 21h7v-4H3z",
  topology: "M12 3v5M5 21v-5h14v5M12 8v8M9 3h6M3 21h4M17 21h4",
  indexes: "M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3zM4 6v12c0 1.7 3.6 3 8 3s8-1.3 8-3V6M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3",
  aliases: "M4 12h14M13 6l6 6-6 6M4 5v14",
  documents: "M6 3h8l5 5v13H6zM14 3v5h5M9 13h7M9 17h5",
  sandbox: "M11 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM16.5 16.5L21 21",
  tasks: "M4 6l2 2 3-4M4 13l2 2 3-4M4 20l2 2 3-4M13 6h7M13 13h7M13 20h7",
  request: "M8 6l-6 6 6 6M16 6l6 6-6 6M14 4l-4 16",
  canaries: "M3 12h4l3-8 4 16 3-8h4",
  shadow: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 3v18M12 8h7M12 13h8M12 18h5",
  changes: "M4 5h16M4 12h10M4 19h7M17 14l4 4-4 4",
  rollover: "M20 12a8 8 0 1 1-2.3-5.7M20 3v5h-5",
  access: "M8 15a4 4 0 1 1 3.5-6H21v4h-3v3h-3v-3h-3.5A4 4 0 0 1 8 15z",
  metrics: "M3 3v18h18M7 15l4-5 3 3 6-8",
  configuration: "M4 7h10M18 7h2M4 17h2M10 17h10M14 5v4M6 15v4",
  audit: "M5 3h14v18l-3-2-2 2-2-2-2 2-2-2-3 2zM9 8h6M9 12h6",
  menu: "M4 6h16M4 12h16M4 18h16",
  close: "M6 6l12 12M18 6L6 18",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.5 1.5M17.5 17.5L19 19M5 19l1.5-1.5M17.5 6.5L19 5",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
  out: "M15 4h4v16h-4M10 8l-4 4 4 4M6 12h10",
  plus: "M12 5v14M5 12h14",
  right: "M9 6l6 6-6 6",
};

export function Icon({ name, size = 18 }: { name: string; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name] ?? ""} />
    </svg>
  );
}

export function Button(
  props: JSX.ButtonHTMLAttributes<HTMLButtonElement> & {
    kind?: "primary" | "danger" | "quiet";
    busy?: boolean;
    icon?: string;
  },
) {
  const { kind, busy, icon, children, class: own, disabled, ...rest } = props;
  return (
    <button
      type="button"
      {...rest}
      disabled={disabled || busy}
      aria-busy={busy ? "true" : undefined}
      class={`button ${kind ?? ""} ${own ?? ""}`}
    >
      {icon && <Icon name={icon} size={16} />}
      {children}
    </button>
  );
}

export function Badge({ tone = "plain", children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

const TONES: Record<string, Tone> = {
  healthy: "good",
  succeeded: "good",
  ok: "good",
  running: "info",
  processing: "info",
  joining: "info",
  draining: "warn",
  suspect: "warn",
  paused: "warn",
  queued: "plain",
  enqueued: "plain",
  canceled: "warn",
  aborted: "warn",
  down: "bad",
  failed: "bad",
  error: "bad",
};

/** A state by its name: a dot and the word, so that colour is never alone. */
export function State({ name }: { name: string }) {
  return (
    <span class={`state ${TONES[name] ?? "plain"}`}>
      <span class="dot" aria-hidden="true" />
      {name}
    </span>
  );
}

export const toneOf = (state: string): Tone => TONES[state] ?? "plain";

export function Card(props: {
  title?: ComponentChildren;
  aside?: ComponentChildren;
  children: ComponentChildren;
  flush?: boolean;
  class?: string;
}) {
  return (
    <section class={`card ${props.class ?? ""}`}>
      {(props.title || props.aside) && (
        <header class="card-head">
          <h2>{props.title}</h2>
          {props.aside && <div class="row">{props.aside}</div>}
        </header>
      )}
      <div class={props.flush ? "card-flush" : "card-body"}>{props.children}</div>
    </section>
  );
}

export function Notice(props: {
  tone?: Tone;
  title?: string;
  children?: ComponentChildren;
  act?: ComponentChildren;
  alert?: boolean;
}) {
  return (
    <div class={`notice ${props.tone ?? "info"}`} role={props.alert ? "alert" : undefined}>
      <div>
        {props.title && <strong>{props.title}</strong>}
        {props.children && <div>{props.children}</div>}
      </div>
      {props.act}
    </div>
  );
}

/** A refusal where it happened, in words. */
export function Refused({ error, what }: { error: Refusal | null; what?: string }) {
  if (!error) return null;
  return (
    <Notice tone="bad" alert title={what}>
      {error.message}
      {error.retryAfter > 0 && ` Try again in ${error.retryAfter} s.`}
    </Notice>
  );
}

/** A section whose routes this gateway does not have. */
export function Absent({ what, option }: { what: string; option?: string }) {
  return (
    <Empty title={`${what} are not available on this gateway`}>
      Its version does not serve the routes of this section
      {option ? (
        <>
          , or they are switched off: <code>{option}</code> switches them on
        </>
      ) : null}
      . Everything else on this console works without them.
    </Empty>
  );
}

export function Empty(props: { title: string; children?: ComponentChildren; act?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{props.title}</p>
      {props.children && <p>{props.children}</p>}
      {props.act && <div class="row center">{props.act}</div>}
    </div>
  );
}

export function Loading({ what }: { what?: string }) {
  return (
    <div class="loading" role="status">
      <span class="bar" />
      <span class="bar" />
      <span class="bar" />
      <span class="unseen">Loading {what ?? ""}</span>
    </div>
  );
}

/** A labelled control; the control gets its id. */
export function Field(props: {
  label: string;
  hint?: ComponentChildren;
  error?: string | null;
  wide?: boolean;
  children: (id: string, described: string | undefined) => ComponentChildren;
}) {
  const id = useId();
  const described = props.hint || props.error ? `${id}-hint` : undefined;
  return (
    <div class={`field ${props.wide ? "wide" : ""}`}>
      <label for={id}>{props.label}</label>
      {props.children(id, described)}
      {(props.error || props.hint) && (
        <p id={described} class={props.error ? "hint bad" : "hint"}>
          {props.error || props.hint}
        </p>
      )}
    </div>
  );
}

export function Text(props: {
  label: string;
  value: string;
  set: (value: string) => void;
  hint?: ComponentChildren;
  error?: string | null;
  type?: string;
  placeholder?: string;
  list?: string[];
  wide?: boolean;
  mono?: boolean;
  autofocus?: boolean;
  required?: boolean;
}) {
  const list = useId();
  return (
    <Field label={props.label} hint={props.hint} error={props.error ?? null} wide={props.wide ?? false}>
      {(id, described) => (
        <>
          <input
            id={id}
            class={`input ${props.mono ? "mono" : ""}`}
            type={props.type ?? "text"}
            value={props.value}
            placeholder={props.placeholder}
            autocomplete="off"
            spellcheck={false}
            required={props.required}
            aria-describedby={described}
            aria-invalid={props.error ? "true" : undefined}
            list={props.list ? list : undefined}
            onInput={(event) => props.set(event.currentTarget.value)}
            ref={(input) => {
              if (props.autofocus && input && !input.dataset.seen) {
                input.dataset.seen = "1";
                input.focus();
              }
            }}
          />
          {props.list && (
            <datalist id={list}>
              {props.list.map((value) => (
                <option key={value} value={value} />
              ))}
            </datalist>
          )}
        </>
      )}
    </Field>
  );
}

export function Choice(props: {
  label: string;
  value: string;
  set: (value: string) => void;
  options: (string | [string, string])[];
  hint?: string;
}) {
  return (
    <Field label={props.label} hint={props.hint}>
      {(id) => (
        <select id={id} class="input" value={props.value} onChange={(event) => props.set(event.currentTarget.value)}>
          {props.options.map((option) => {
            const [value, label] = typeof option === "string" ? [option, option] : option;
            return (
              <option key={value} value={value} selected={value === props.value}>
                {label}
              </option>
            );
          })}
        </select>
      )}
    </Field>
  );
}

export function Area(props: {
  label: string;
  value: string;
  set: (value: string) => void;
  rows?: number;
  hint?: ComponentChildren;
  error?: string | null;
}) {
  return (
    <Field label={props.label} hint={props.hint} error={props.error ?? null} wide>
      {(id, described) => (
        <textarea
          id={id}
          class="input mono"
          rows={props.rows ?? 6}
          value={props.value}
          spellcheck={false}
          aria-describedby={described}
          aria-invalid={props.error ? "true" : undefined}
          onInput={(event) => props.set(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

export function Check(props: { label: string; checked: boolean; set: (checked: boolean) => void; hint?: string }) {
  return (
    <label class="check">
      <input type="checkbox" checked={props.checked} onChange={(event) => props.set(event.currentTarget.checked)} />
      <span>
        {props.label}
        {props.hint && <span class="hint block">{props.hint}</span>}
      </span>
    </label>
  );
}

export interface Column<Row> {
  name: string;
  show: (row: Row) => ComponentChildren;
  right?: boolean;
  /** Left out on narrow windows. */
  minor?: boolean;
}

/** A table that scrolls by itself, and whose rows open by click or Enter. */
export function Table<Row>(props: {
  label: string;
  columns: Column<Row>[];
  rows: Row[];
  of: (row: Row) => string | number;
  open?: (row: Row) => void;
  openLabel?: (row: Row) => string;
  chosen?: string | number | null;
}) {
  const move = (event: KeyboardEvent) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const buttons = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>("button.row-open")];
    const at = buttons.indexOf(document.activeElement as HTMLElement);
    if (at < 0) return;
    event.preventDefault();
    buttons[Math.max(0, Math.min(buttons.length - 1, at + (event.key === "ArrowDown" ? 1 : -1)))]?.focus();
  };
  return (
    <div class="table-wrap" role="region" aria-label={props.label} tabindex={0} onKeyDown={move}>
      <table class={props.open ? "opens" : ""}>
        <thead>
          <tr>
            {props.columns.map((column) => (
              <th key={column.name} scope="col" class={`${column.right ? "right" : ""} ${column.minor ? "minor" : ""}`}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row) => (
            <tr
              key={props.of(row)}
              class={props.chosen === props.of(row) ? "chosen" : ""}
              onClick={(event) => {
                if (!(event.target as HTMLElement).closest("a,button,input")) props.open?.(row);
              }}
            >
              {props.columns.map((column, at) => (
                <td key={column.name} class={`${column.right ? "right" : ""} ${column.minor ? "minor" : ""}`}>
                  {props.open && at === 0 ? (
                    <button
                      type="button"
                      class="row-open"
                      aria-label={props.openLabel?.(row)}
                      onClick={() => props.open?.(row)}
                    >
                      {column.show(row)}
                    </button>
                  ) : (
                    column.show(row)
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A dialog over the page; the browser keeps the focus inside and gives it back. */
export function Dialog(props: {
  title: string;
  close: () => void;
  children: ComponentChildren;
  side?: boolean;
  wide?: boolean;
}) {
  const box = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = box.current;
    if (dialog && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={box}
      class={`dialog ${props.side ? "side" : ""} ${props.wide ? "wide" : ""}`}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        props.close();
      }}
      onMouseDown={(event) => event.target === box.current && props.close()}
    >
      <div class="dialog-inner">
        <header class="dialog-head">
          <h2 id={id}>{props.title}</h2>
          <button type="button" class="icon-button" aria-label="Close" onClick={props.close}>
            <Icon name="close" />
          </button>
        </header>
        <div class="dialog-body">{props.children}</div>
      </div>
    </dialog>
  );
}

/** Asks to retype a name before something is destroyed. */
export function Confirm(props: {
  title: string;
  name: string;
  act: string;
  children: ComponentChildren;
  run: () => Promise<boolean>;
  busy: boolean;
  error: Refusal | null;
  close: () => void;
}) {
  const [typed, setTyped] = useState("");
  return (
    <Dialog title={props.title} close={props.close}>
      <form
        class="stack"
        onSubmit={async (event) => {
          event.preventDefault();
          if (typed === props.name && (await props.run())) props.close();
        }}
      >
        <div>{props.children}</div>
        <Text
          label={`Type ${props.name} to confirm`}
          value={typed}
          set={setTyped}
          autofocus
          mono
          hint="Nothing happens until the name is complete."
        />
        <Refused error={props.error} />
        <div class="row end">
          <Button onClick={props.close}>Keep it</Button>
          <Button kind="danger" type="submit" busy={props.busy} disabled={typed !== props.name}>
            {props.act}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

export function Progress({ share, label }: { share: number | null; label: string }) {
  const percent = share === null ? undefined : Math.round(Math.min(1, Math.max(0, share)) * 100);
  return <progress class="progress" max={100} value={percent} aria-label={label} />;
}

export function Tabs(props: {
  label: string;
  tabs: [string, string][];
  chosen: string;
  choose: (tab: string) => void;
}) {
  const move = (event: KeyboardEvent) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    const at = props.tabs.findIndex(([tab]) => tab === props.chosen);
    const next = (at + step + props.tabs.length) % props.tabs.length;
    props.choose(props.tabs[next]![0]);
    (event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>("[role=tab]")[next]?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label={props.label} onKeyDown={move}>
      {props.tabs.map(([tab, label]) => (
        <button
          key={tab}
          type="button"
          role="tab"
          aria-selected={tab === props.chosen}
          tabindex={tab === props.chosen ? 0 : -1}
          onClick={() => props.choose(tab)}
        >
          {label}
        </button>
      ))}
    </div>
  );
}

/** A value of JSON, folded where it is long; texts that are addresses become links. */
export function Json({ value, depth = 0 }: { value: unknown; depth?: number }) {
  if (Array.isArray(value)) {
    if (!value.length) return <span class="json-mark">[]</span>;
    return (
      <Fold depth={depth} brackets="[]" count={value.length}>
        {value.slice(0, 500).map((item, at) => (
          <li key={at}>
            <Json value={item} depth={depth + 1} />
          </li>
        ))}
        {value.length > 500 && <li class="json-mark">… {value.length - 500} more</li>}
      </Fold>
    );
  }
  if (value && typeof value === "object") {
    const members = Object.entries(value);
    if (!members.length) return <span class="json-mark">{"{}"}</span>;
    return (
      <Fold depth={depth} brackets="{}" count={members.length}>
        {members.map(([name, member]) => (
          <li key={name}>
            <span class="json-name">{name}</span>
            <span class="json-mark">: </span>
            <Json value={member} depth={depth + 1} />
          </li>
        ))}
      </Fold>
    );
  }
  if (isLink(value)) return <Link address={value} />;
  return <span class={`json-${value === null ? "null" : typeof value}`}>{JSON.stringify(value)}</span>;
}

function Fold(props: { depth: number; brackets: string; count: number; children: ComponentChildren }) {
  return (
    <details class="fold" open={props.depth < 2}>
      <summary>
        <span class="json-mark">
          {props.brackets[0]} {props.count} {props.brackets[1]}
        </span>
      </summary>
      <ul>{props.children}</ul>
    </details>
  );
}

export function Link({ address }: { address: string }) {
  return (
    <a href={address} target="_blank" rel="noopener noreferrer nofollow">
      {address}
    </a>
  );
}

/** A member of a document in one cell. */
export function Cell({ value, images }: { value: unknown; images?: boolean }) {
  if (value === undefined) return <span class="faint">–</span>;
  if (images && isImage(value))
    return <img class="thumb" src={value} alt="" loading="lazy" referrerpolicy="no-referrer" />;
  if (isLink(value)) return <Link address={value} />;
  const isWords = Array.isArray(value) && value.every((item) => typeof item === "string" || typeof item === "number");
  const text = typeof value === "string" ? value : isWords ? (value as unknown[]).join(", ") : canonical(value);
  return <span title={text.length > 60 ? text.slice(0, 400) : undefined}>{text.slice(0, 120)}</span>;
}

export function Head(props: { title: string; lead?: ComponentChildren; children?: ComponentChildren }) {
  return (
    <header class="head">
      <div>
        <h1>{props.title}</h1>
        {props.lead && <p class="lead">{props.lead}</p>}
      </div>
      {props.children && <div class="row">{props.children}</div>}
    </header>
  );
}

export function Tile(props: { label: string; value: ComponentChildren; note?: ComponentChildren; tone?: Tone }) {
  return (
    <div class={`tile ${props.tone ?? ""}`}>
      <dt>{props.label}</dt>
      <dd>
        <span class="figure">{props.value}</span>
        {props.note && <span class="hint">{props.note}</span>}
      </dd>
    </div>
  );
}

export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  return (
    <Button
      kind="quiet"
      onClick={async () => {
        try {
          await navigator.clipboard.writeText(text);
          setDone(true);
          setTimeout(() => setDone(false), 1500);
        } catch {
          // Without a safe context the browser gives no clipboard; the text can be selected.
        }
      }}
    >
      {done ? "Copied" : label}
    </Button>
  );
}

let tell: (text: string, tone: Tone) => void = () => {};

/** Says shortly what was done. */
export const say = (text: string, tone: Tone = "good"): void => tell(text, tone);

export function Toasts() {
  const [shown, setShown] = useState<{ id: number; text: string; tone: Tone }[]>([]);
  useEffect(() => {
    let id = 0;
    tell = (text, tone) => {
      id += 1;
      const own = id;
      setShown((all) => [...all.slice(-2), { id: own, text, tone }]);
      setTimeout(() => setShown((all) => all.filter((toast) => toast.id !== own)), 5000);
    };
  }, []);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.map((toast) => (
        <div key={toast.id} class={`toast ${toast.tone}`}>
          {toast.text}
        </div>
      ))}
    </div>
  );
}
