// The console: signing in, the frame around every section, and which section is shown.
import "@shared/tokens.css";
import "@shared/base.css";
import "./console.css";
import { Component, type ComponentChildren, type ComponentType, render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ask, onSignedOut, post, Refusal, setToken } from "./api";
import { close, connected, health, open, tasks, useCell } from "./live";
import { Palette } from "./palette";
import { SECTIONS, type Section, type SectionProps } from "./sections";
import { Button, Icon, Loading, Notice, Refused, Text, Toasts } from "./ui";

const ALL = SECTIONS.flatMap(([, sections]) => sections);

interface Session {
  csrfToken: string | null;
  readOnly: boolean;
  pod: string;
  version: string;
}

const address = (): string[] => location.hash.replace(/^#\/?/, "").split("?")[0]!.split("/").map(decodeURIComponent);

function App() {
  const [session, setSession] = useState<Session | null | undefined>(undefined);
  const [error, setError] = useState<Refusal | null>(null);
  const load = async () => {
    try {
      const found = await ask<Session>("/_miroir/admin/session");
      setToken(found.csrfToken);
      setSession(found);
      setError(null);
      open();
    } catch (refused) {
      const refusal = refused as Refusal;
      if (refusal.status === 401) setSession(null);
      else {
        setError(refusal);
        setTimeout(load, 3000);
      }
    }
  };
  useEffect(() => {
    onSignedOut(() => {
      close();
      setSession(null);
    });
    load();
  }, []);
  if (session === undefined)
    return <div class="boot">{error ? <Refused error={error} /> : <Loading what="the console" />}</div>;
  if (session === null) return <Login done={load} />;
  return (
    <Frame
      session={session}
      leave={async () => {
        await post("/_miroir/admin/logout", {}).catch(() => null);
        close();
        setSession(null);
      }}
    />
  );
}

function Login({ done }: { done: () => Promise<void> }) {
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Refusal | null>(null);
  return (
    <main class="login">
      <form
        class="login-card stack"
        onSubmit={async (event) => {
          event.preventDefault();
          setBusy(true);
          setError(null);
          try {
            await post("/_miroir/admin/login", { adminKey: key });
            await done();
          } catch (refused) {
            setError(refused as Refusal);
          }
          setBusy(false);
        }}
      >
        <div class="brand large">
          <Mark />
          <h1>Miroir</h1>
        </div>
        <p class="lead">Sign in with the admin key of this gateway. The key stays out of the browser: what is kept is a session of twelve hours.</p>
        <Text label="Admin key" type="password" value={key} set={setKey} autofocus required />
        <Refused error={error} />
        <Button kind="primary" type="submit" busy={busy} disabled={!key}>
          Sign in
        </Button>
        <p class="hint">
          It is given to the gateway as <code>MIROIR_ADMIN_API_KEY</code>, or else as its master key.
        </p>
      </form>
    </main>
  );
}

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M7 22V10l9 8V6M25 22V10l-9 8" />
    </svg>
  );
}

const THEMES = ["system", "light", "dark"] as const;

function useTheme(): [string, () => void] {
  const [theme, setTheme] = useState(() => localStorage.getItem("miroir:theme") ?? "system");
  useEffect(() => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    localStorage.setItem("miroir:theme", theme);
  }, [theme]);
  return [theme, () => setTheme(THEMES[(THEMES.indexOf(theme as "system") + 1) % THEMES.length]!)];
}

function Frame({ session, leave }: { session: Session; leave: () => void }) {
  const [at, setAt] = useState(address);
  const [menu, setMenu] = useState(false);
  const [palette, setPalette] = useState(false);
  const [theme, turnTheme] = useTheme();
  useEffect(() => {
    const follow = () => {
      setAt(address());
      setMenu(false);
      window.scrollTo(0, 0);
    };
    const keys = (event: KeyboardEvent) => {
      const typing = (event.target as HTMLElement).closest("input,textarea,select,[contenteditable]");
      if ((event.key === "k" && (event.metaKey || event.ctrlKey)) || (event.key === "/" && !typing)) {
        if (document.querySelector("dialog[open]")) return;
        event.preventDefault();
        setPalette(true);
      } else if (event.key === "Escape") setMenu(false);
    };
    addEventListener("hashchange", follow);
    addEventListener("keydown", keys);
    return () => {
      removeEventListener("hashchange", follow);
      removeEventListener("keydown", keys);
    };
  }, []);
  const section = ALL.find((known) => known.name === at[0]) ?? ALL[0]!;
  useEffect(() => {
    document.title = `${section.title} · Miroir`;
  }, [section]);
  return (
    <div class={`frame ${menu ? "with-menu" : ""}`}>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>
        Skip to the section
      </a>
      <header class="bar-top">
        <button type="button" class="icon-button menu-button" aria-label="Menu" aria-expanded={menu} aria-controls="nav" onClick={() => setMenu(!menu)}>
          <Icon name={menu ? "close" : "menu"} />
        </button>
        <a class="brand" href="#/overview" aria-label="Miroir, overview">
          <Mark />
          <span>Miroir</span>
        </a>
        <Pulse />
        <button type="button" class="search-button" aria-label="Go to or do" onClick={() => setPalette(true)} aria-keyshortcuts="/ Control+K">
          <Icon name="sandbox" size={16} />
          <span class="search-label">Go to or do</span>
          <kbd>/</kbd>
        </button>
        {session.readOnly && <span class="badge warn">read-only</span>}
        <button type="button" class="icon-button" aria-label={`Colours: ${theme}`} title={`Colours: ${theme}`} onClick={turnTheme}>
          <Icon name={theme === "dark" ? "moon" : "sun"} />
        </button>
        <button type="button" class="icon-button" aria-label="Sign out" title="Sign out" onClick={leave}>
          <Icon name="out" />
        </button>
      </header>
      <nav id="nav" class="nav" aria-label="Sections">
        {SECTIONS.map(([group, sections]) => (
          <div key={group} class="nav-group">
            <h2>{group}</h2>
            <ul>
              {sections.map((one) => (
                <li key={one.name}>
                  <a href={`#/${one.name}`} aria-current={one === section ? "page" : undefined}>
                    <Icon name={one.name} />
                    <span>{one.title}</span>
                    {one.name === "tasks" && <TaskCount />}
                  </a>
                </li>
              ))}
            </ul>
          </div>
        ))}
        <p class="nav-foot">
          {session.pod}
          <br />
          version {session.version}
        </p>
      </nav>
      <button type="button" class="veil" tabindex={-1} aria-hidden="true" onClick={() => setMenu(false)} />
      <main id="main" class="main" tabindex={-1}>
        <Lost />
        <Guard key={section.name}>
          <Lazy key={section.name} section={section} rest={at.slice(1)} readOnly={session.readOnly} />
        </Guard>
      </main>
      {palette && <Palette close={() => setPalette(false)} leave={leave} turnTheme={turnTheme} />}
      <Toasts />
    </div>
  );
}

/** The cluster's health in one glance, on every section. */
function Pulse() {
  const now = useCell(health);
  if (!now) return <span class="pulse" />;
  const bad = now.nodes.filter((node) => node.state === "down").length;
  const odd = now.nodes.filter((node) => !["healthy", "down", "draining"].includes(node.state)).length;
  const tone = !now.ready ? "bad" : bad || odd || !now.coordinator.storeReached ? "warn" : "good";
  const text = !now.ready
    ? `${now.uncoveredShards} shards unserved`
    : bad
      ? `${bad} of ${now.nodes.length} nodes down`
      : odd
        ? `${odd} of ${now.nodes.length} nodes not healthy`
        : "healthy";
  return (
    <a class="pulse" href="#/overview" aria-label={`Cluster: ${text}`}>
      <span class={`state ${tone}`}>
        <span class="dot" aria-hidden="true" />
        <span class="pulse-text">{text}</span>
      </span>
    </a>
  );
}

function TaskCount() {
  const counts = useCell(tasks);
  return counts?.unfinished ? <span class="count">{counts.unfinished}</span> : null;
}

function Lost() {
  const up = useCell(connected);
  if (up) return null;
  return (
    <Notice tone="warn" alert title="The gateway does not answer.">
      What is shown may be out of date. This page connects again by itself.
    </Notice>
  );
}

function Lazy({ section, rest, readOnly }: SectionProps & { section: Section }) {
  const [Shown, setShown] = useState<ComponentType<SectionProps> | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    section.load().then(
      (module) => setShown(() => module.default),
      () => setFailed(true),
    );
  }, [section]);
  if (failed)
    return (
      <Notice tone="warn" alert title="This section could not be loaded." act={<Button onClick={() => location.reload()}>Reload the page</Button>}>
        The gateway may have been updated while this page was open, or does not answer.
      </Notice>
    );
  return Shown ? <Shown rest={rest} readOnly={readOnly} /> : <Loading what={section.title} />;
}

/** An error inside a section stays there. */
class Guard extends Component<{ children: ComponentChildren }, { error: Error | null }> {
  override state = { error: null };
  static override getDerivedStateFromError(error: Error) {
    return { error };
  }
  override render() {
    const error = this.state.error as Error | null;
    if (!error) return this.props.children;
    return (
      <Notice tone="bad" alert title="This section has failed." act={<Button onClick={() => this.setState({ error: null })}>Try again</Button>}>
        {error.message}
      </Notice>
    );
  }
}

const app = document.getElementById("app");
if (app) render(<App />, app);
