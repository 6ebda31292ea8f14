// The page in another page's frame: how tall it is, what was followed, and searches that the other page draws itself.
//
// Only the page that frames this one is listened to, and the gateway has said which sites may: `frame-ancestors`.
import type { Gateway } from "./api";
import { questions, results } from "./query";
import { NOTHING, parse } from "./state";
import { Failure, type Hit, type PageConfig } from "./types";

/** How messages of both sides name themselves. */
const PAGE = "miroir-search";
const HOST = "miroir-host";
const HITS_MAX = 100;

export const framed = window.parent !== window;

/** Heights and readiness are no secret; what was found goes only to the site that has asked. */
function post(message: object, origin = "*"): void {
  window.parent.postMessage({ source: PAGE, ...message }, origin);
}

/** Tells the framing page how tall this one is, now and whenever that changes. */
export function tellHeight(): void {
  let last = 0;
  const tell = () => {
    const height = Math.ceil(document.documentElement.getBoundingClientRect().height);
    if (height !== last) post({ type: "height", height: (last = height) });
  };
  new ResizeObserver(tell).observe(document.body);
  tell();
}

export function tellClick(hit: Hit, position: number, page: PageConfig): void {
  const id = page.primaryKey ? hit[page.primaryKey] : undefined;
  post({ type: "click", id: id ?? null, position: position + 1 });
}

/** Waits for a token from the framing page, for the mode `shared_key`; the site's server has fetched it. */
export function awaitToken(): Promise<string> {
  return new Promise((resolve) => {
    addEventListener("message", function listen(event) {
      const message = read(event);
      if (message?.type !== "token" || typeof message.token !== "string") return;
      removeEventListener("message", listen);
      resolve(message.token);
    });
    post({ type: "token-wanted" });
  });
}

/** Answers searches of the framing page, which draws them itself. */
export function serveHeadless(gateway: Gateway, page: PageConfig): void {
  addEventListener("message", async (event) => {
    const message = read(event);
    if (message?.type !== "search" || typeof message.id !== "string") return;
    const reply = (answer: object) => post({ id: message.id, ...answer }, event.origin);
    try {
      const state = { ...NOTHING, ...parse(typeof message.search === "string" ? message.search : "") };
      const wanted = Math.trunc(Number(message.hitsPerPage));
      const own = wanted >= 1 && wanted <= HITS_MAX ? { ...page, hitsPerPage: wanted } : page;
      const asked = questions(own, state, state.page, undefined);
      const found = results(asked, await gateway.search(asked, new AbortController().signal));
      reply({ type: "results", results: found });
    } catch (error) {
      const failure = error instanceof Failure ? error : new Failure(String(error), "", 0);
      reply({ type: "error", message: failure.message, code: failure.code });
    }
  });
  post({ type: "ready" });
}

function read(event: MessageEvent): Record<string, unknown> | null {
  if (event.source !== window.parent || !framed) return null;
  const message: unknown = event.data;
  const isOurs = typeof message === "object" && message !== null && (message as { source?: unknown }).source === HOST;
  return isOurs ? (message as Record<string, unknown>) : null;
}
