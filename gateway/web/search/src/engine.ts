// The page without its looks: what is asked, what is known, and what to ask next.
//
// An answer that comes late, after a newer question was asked, is dropped. While a question is under way the last answer
// stays, so that nothing jumps.
import type { Gateway } from "./api";
import { guess, type Shown } from "./display";
import { questions, results, type Results } from "./query";
import type { State } from "./state";
import { Failure, type PageConfig } from "./types";

/** From the last keystroke to the question. */
export const DEBOUNCE_MS = 150;
/** Tries to reach the gateway again: pauses between them, the last one repeated. */
const RETRY_PAUSES_MS = [1000, 2000, 5000, 10_000];
/** Documents from which it is guessed how to show them. */
const SAMPLE = 20;

export interface Known {
  results: Results | null;
  /** How to show hits: decided by the first ones, and kept. */
  shown: Shown | null;
  loading: boolean;
  failure: Failure | null;
  /** Milliseconds from the question to the answer. */
  took: number;
}

export class Engine {
  known: Known = { results: null, shown: null, loading: true, failure: null, took: 0 };
  private number = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private tries = 0;
  private pending: AbortController | null = null;

  constructor(
    private readonly gateway: Pick<Gateway, "search">,
    private readonly page: PageConfig,
    public state: State,
    private readonly changed: () => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Changes what is asked; a change while typing is asked after a pause. */
  set(change: Partial<State>, typing = false): void {
    // Anything but turning pages begins at the first page.
    this.state = { ...this.state, page: 1, ...change };
    clearTimeout(this.timer);
    if (typing) this.timer = setTimeout(() => void this.run(), DEBOUNCE_MS);
    else void this.run();
    this.changed();
  }

  /** Asks for the page behind the last one, and adds its hits. */
  more(): void {
    const { results, loading } = this.known;
    if (loading || !results || results.page >= results.pages) return;
    this.state = { ...this.state, page: results.page + 1 };
    void this.run(true);
  }

  async run(append = false): Promise<void> {
    clearTimeout(this.timer);
    clearTimeout(this.retry);
    this.pending?.abort();
    const pending = new AbortController();
    this.pending = pending;
    const number = ++this.number;
    this.update({ loading: true });
    const asked = questions(this.page, this.state, this.state.page, this.known.shown?.text ?? this.page.display.text);
    const began = this.now();
    try {
      const answers = await this.gateway.search(asked, pending.signal);
      if (number !== this.number) return;
      const found = results(asked, answers);
      const shown = this.known.shown ?? (found.hits.length > 0 ? guess(this.page, found.hits.slice(0, SAMPLE)) : null);
      if (append && this.known.results) found.hits = [...this.known.results.hits, ...found.hits];
      this.tries = 0;
      this.update({ results: found, shown, loading: false, failure: null, took: this.now() - began });
    } catch (error) {
      if (number !== this.number || (error as Error).name === "AbortError") return;
      const failure = error instanceof Failure ? error : new Failure(String(error), "", 0);
      this.update({ loading: false, failure });
      this.again(failure, append);
    }
  }

  /** Asks again later, when that can help. */
  private again(failure: Failure, append: boolean): void {
    const helps = failure.code === "unreachable" || failure.status === 429 || failure.status >= 500;
    if (!helps || failure.code === "miroir_ui_secret_missing") return;
    const pause = RETRY_PAUSES_MS[Math.min(this.tries++, RETRY_PAUSES_MS.length - 1)]!;
    this.retry = setTimeout(() => void this.run(append), Math.max(pause, failure.retryAfter * 1000));
  }

  private update(change: Partial<Known>): void {
    this.known = { ...this.known, ...change };
    this.changed();
  }
}
