// Begins the page: a session, words, colours, and then the page itself, or what keeps it from beginning.
import { render } from "preact";
import { Gateway, type Session } from "./api";
import { App } from "./app";
import { Beacons } from "./beacons";
import { awaitToken, framed, serveHeadless, tellClick, tellHeight } from "./embed";
import { DEFAULT, load, type Locale } from "./locale";
import { KeyForm, Skeleton, Wrong } from "./view/notices";
import { apply, kept } from "./theme";
import { Failure } from "./types";
import "./style.css";

const KEY = "miroir-search-key";
const params = new URLSearchParams(location.search);
const flag = (name: string) => params.has(name) && params.get(name) !== "false";
const headless = flag("headless");
const embedded = flag("embed") || headless;
const index = decodeURIComponent(location.pathname.replace(/\/+$/, "").split("/").pop() ?? "");
const root = document.getElementById("app")!;
const gateway = new Gateway(index);

async function begin(): Promise<void> {
  document.documentElement.classList.toggle("embedded", embedded);
  gateway.sharedKey = storedKey();
  let locale: Locale = DEFAULT;
  const wanted = params.get("lang");
  try {
    if (!headless) render(<Skeleton />, root);
    const session = await gateway.session();
    locale = await load(gateway, wanted ? [wanted] : session.page.language ? [session.page.language] : navigator.languages);
    start(session, locale);
  } catch (error) {
    locale = await load(gateway, wanted ? [wanted] : navigator.languages);
    failed(error instanceof Failure ? error : new Failure(String(error), "", 0), locale);
  }
}

function start({ page }: Session, locale: Locale): void {
  const mode = params.get("theme");
  const chosen = mode === "light" || mode === "dark" ? mode : ((embedded ? null : kept()) ?? page.theme.mode);
  apply(chosen, page.theme.accent);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    apply((embedded ? null : kept()) ?? chosen, page.theme.accent);
  });
  document.documentElement.lang = locale.language;
  document.documentElement.dir = locale.direction;
  document.title = page.title;
  if (headless) {
    render(null, root);
    return serveHeadless(gateway, page);
  }
  const beacons = new Beacons(gateway, page.beacons);
  const tell = (hit: Parameters<typeof tellClick>[0], position: number) => framed && tellClick(hit, position, page);
  render(<App gateway={gateway} page={page} locale={locale} beacons={beacons} embedded={embedded} tell={tell} />, root);
  if (framed) tellHeight();
}

/** Says why there is no session, and begins again when that can help. */
function failed(failure: Failure, locale: Locale): void {
  if (headless) return;
  document.documentElement.lang = locale.language;
  document.documentElement.dir = locale.direction;
  if (failure.code === "miroir_invalid_auth") {
    if (framed && !gateway.supply) {
      // The site's server may fetch tokens itself, so that the key never comes near a browser.
      void awaitToken().then((token) => {
        let first: string | null = token;
        gateway.supply = () => {
          const next = first ? Promise.resolve(first) : awaitToken();
          first = null;
          return next;
        };
        void begin();
      });
    }
    const wrong = gateway.sharedKey !== null;
    render(<main class="alone"><KeyForm locale={locale} wrong={wrong} enter={(key) => { keepKey(key); void begin(); }} /></main>, root);
    return;
  }
  render(<main class="alone"><Wrong failure={failure} locale={locale} retry={() => void begin()} alone /></main>, root);
  const again = failure.code === "unreachable" || failure.status === 429 || (failure.status >= 500 && failure.code !== "miroir_ui_secret_missing");
  if (again) setTimeout(() => void begin(), Math.max(3000, failure.retryAfter * 1000));
  if (framed) tellHeight();
}

function storedKey(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return gateway.sharedKey;
  }
}

function keepKey(key: string): void {
  gateway.sharedKey = key;
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    // Then it is asked for again after a reload.
  }
}

void begin();
