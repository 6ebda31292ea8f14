// <miroir-search index="cities"></miroir-search>: a search page of this gateway inside another page.
//
// The element frames the page, so that neither can touch the other; it grows as the page does. With `headless` nothing
// is shown: `element.search("?q=paris&f.country=France")` answers with what was found, for sites that draw it themselves.

interface Answer {
  source: string;
  type: string;
  id?: string | null;
  height?: number;
  position?: number;
  results?: unknown;
  message?: string;
  code?: string;
}

const PAGE = "miroir-search";
const HOST = "miroir-host";
const HEIGHT_MAX = 20_000;
/** Attributes that the page takes as parameters. */
const PASSED = ["q", "lang", "theme", "sort", "view"];
const script = document.currentScript as HTMLScriptElement | null;
const BASE = new URL("./", script?.src ?? location.href);

class MiroirSearch extends HTMLElement {
  static observedAttributes = ["index", "headless", ...PASSED];
  private frame: HTMLIFrameElement | null = null;
  private waiting = new Map<string, { resolve(results: unknown): void; reject(error: Error): void }>();
  private isReady!: Promise<void>;
  private ready!: () => void;
  private count = 0;
  /** Fetches a token from the site's own server, for pages of the mode `shared_key`. */
  token: string | (() => Promise<string>) | null = null;

  connectedCallback(): void {
    addEventListener("message", this.hear);
    this.open();
  }

  disconnectedCallback(): void {
    removeEventListener("message", this.hear);
    this.frame?.remove();
    this.frame = null;
    for (const { reject } of this.waiting.values()) reject(new Error("the element was taken away"));
    this.waiting.clear();
  }

  attributeChangedCallback(_name: string, before: string | null, after: string | null): void {
    if (this.isConnected && before !== after) this.open();
  }

  /** Asks the page; only with `headless`. `search` is a query string as the page has it in its own address. */
  async search(search: string, options: { hitsPerPage?: number } = {}): Promise<unknown> {
    await this.isReady;
    return new Promise((resolve, reject) => {
      const id = String(++this.count);
      this.waiting.set(id, { resolve, reject });
      this.send({ type: "search", id, search, ...options });
    });
  }

  private open(): void {
    const index = this.getAttribute("index");
    this.frame?.remove();
    this.isReady = new Promise((ready) => (this.ready = ready));
    if (!index) return;
    const url = new URL(`search/${encodeURIComponent(index)}`, BASE);
    const headless = this.hasAttribute("headless");
    url.searchParams.set(headless ? "headless" : "embed", "true");
    for (const name of PASSED) {
      const value = this.getAttribute(name);
      if (value !== null) url.searchParams.set(name, value);
    }
    const frame = document.createElement("iframe");
    frame.title = this.getAttribute("title") ?? `Search ${index}`;
    frame.setAttribute("sandbox", "allow-scripts allow-same-origin allow-forms allow-popups allow-popups-to-escape-sandbox");
    frame.referrerPolicy = "origin";
    frame.hidden = headless;
    Object.assign(frame.style, { width: "100%", height: "480px", border: "0", display: headless ? "none" : "block", colorScheme: "normal" });
    frame.src = url.href;
    this.style.display ||= "block";
    this.frame = frame;
    this.append(frame);
  }

  private send(message: object): void {
    this.frame?.contentWindow?.postMessage({ source: HOST, ...message }, BASE.origin);
  }

  private hear = (event: MessageEvent): void => {
    const answer = event.data as Answer | null;
    if (event.source !== this.frame?.contentWindow || event.origin !== BASE.origin || answer?.source !== PAGE) return;
    switch (answer.type) {
      case "height":
        if (this.frame && typeof answer.height === "number") this.frame.style.height = `${Math.min(HEIGHT_MAX, Math.max(0, answer.height))}px`;
        break;
      case "ready":
        this.ready();
        this.tell("ready", {});
        break;
      case "click":
        this.tell("click", { id: answer.id, position: answer.position });
        break;
      case "token-wanted":
        void this.bring();
        break;
      case "results":
      case "error": {
        const asked = this.waiting.get(String(answer.id));
        this.waiting.delete(String(answer.id));
        if (answer.type === "results") asked?.resolve(answer.results);
        else asked?.reject(Object.assign(new Error(answer.message), { code: answer.code }));
      }
    }
  };

  private async bring(): Promise<void> {
    const token = typeof this.token === "function" ? await this.token() : (this.token ?? this.getAttribute("token"));
    if (token) this.send({ type: "token", token });
  }

  private tell(name: string, detail: object): void {
    this.dispatchEvent(new CustomEvent(`miroir-${name}`, { detail, bubbles: true }));
  }
}

if (!customElements.get("miroir-search")) customElements.define("miroir-search", MiroirSearch);
