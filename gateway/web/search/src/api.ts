// What a page asks of its gateway: a session, searches, beacons. It asks no other host.
import { Failure, type PageConfig, type SearchAnswer } from "./types";
import type { Question } from "./query";

/** Where the gateway begins, whatever prefix it stands behind: an asset lies three folders below it. */
export const ROOT = new URL(/* @vite-ignore */ "../../../", import.meta.url);
/** A session is renewed this long before it ends. */
const RENEW_BEFORE_MS = 60_000;

export interface Session {
  token: string;
  page: PageConfig;
}

export class Gateway {
  private token = "";
  private endsAt = 0;
  private renewing: Promise<Session> | null = null;
  /** The key of pages that ask for one; kept as long as the tab. */
  sharedKey: string | null = null;
  /** Where tokens come from when not from the gateway: the site around the page, whose server has fetched them. */
  supply: (() => Promise<string>) | null = null;

  constructor(
    readonly index: string,
    private readonly root: URL = ROOT,
    private readonly send: typeof fetch = (...request) => fetch(...request),
  ) {}

  private at(path: string): string {
    return new URL(path, this.root).href;
  }

  private path(what: string): string {
    return this.at(`_miroir/ui/search/${encodeURIComponent(this.index)}/${what}`);
  }

  /** Begins a session, or a new one. */
  async session(): Promise<Session> {
    this.renewing ??= this.begin().finally(() => {
      this.renewing = null;
    });
    return this.renewing;
  }

  private async begin(): Promise<Session> {
    const headers: Record<string, string> = this.sharedKey ? { "X-Search-UI-Key": this.sharedKey } : {};
    if (this.supply) headers.Authorization = `Bearer ${await this.supply()}`;
    const answer = await this.request(this.path("session"), { headers, cache: "no-store" });
    const session = (await answer.json()) as Session & { expiresIn: number };
    this.token = session.token;
    this.endsAt = Date.now() + session.expiresIn * 1000;
    return session;
  }

  /** Asks all questions at once. A token that the gateway no longer takes is renewed once. */
  async search(questions: Question[], signal: AbortSignal): Promise<SearchAnswer[]> {
    if (Date.now() > this.endsAt - RENEW_BEFORE_MS) await this.session();
    try {
      return await this.ask(questions, signal);
    } catch (error) {
      if (!(error instanceof Failure) || error.code !== "miroir_jwt_invalid") throw error;
      await this.session();
      return this.ask(questions, signal);
    }
  }

  private async ask(questions: Question[], signal: AbortSignal): Promise<SearchAnswer[]> {
    const answer = await this.request(this.at("multi-search"), {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${this.token}` },
      body: JSON.stringify({ queries: questions }),
      signal,
    });
    return ((await answer.json()) as { results: SearchAnswer[] }).results;
  }

  /** Tells events; whether they arrive is nothing that a visitor has to wait for. */
  beacon(events: unknown[]): void {
    const body = JSON.stringify({ events });
    const headers = { "Content-Type": "application/json", Authorization: `Bearer ${this.token}` };
    this.send(this.path("beacon"), { method: "POST", headers, body, keepalive: true }).catch(() => {});
  }

  /** The words of the page in a language. */
  async words(language: string): Promise<Record<string, string>> {
    const answer = await this.request(this.at(`_miroir/ui/search/locale/${encodeURIComponent(language)}.json`), {});
    return (await answer.json()) as Record<string, string>;
  }

  private async request(url: string, init: RequestInit): Promise<Response> {
    let answer: Response;
    try {
      answer = await this.send(url, { credentials: "same-origin", referrerPolicy: "same-origin", ...init });
    } catch (error) {
      if ((error as Error).name === "AbortError") throw error;
      throw new Failure("the gateway cannot be reached", "unreachable", 0);
    }
    if (answer.ok) return answer;
    const body = (await answer.json().catch(() => ({}))) as { message?: string; code?: string };
    const wait = Number(answer.headers.get("retry-after")) || 0;
    throw new Failure(body.message ?? `the gateway answered ${answer.status}`, body.code ?? "", answer.status, wait);
  }
}
