// What the page tells its gateway: clicks, and how long answers took. Each event has an id, so that it counts once.
import type { Gateway } from "./api";

interface Event {
  id: string;
  type: "click" | "latency";
  query?: string;
  documentId?: string;
  position?: number;
  milliseconds?: number;
}

const PAUSE_MS = 10_000;
const EVENTS_MAX = 50;
const TEXT_MAX = 200;

export class Beacons {
  private waiting: Event[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly gateway: Pick<Gateway, "beacon">,
    private readonly wanted: boolean,
  ) {
    // What waits is told when the visitor leaves.
    if (wanted) addEventListener("pagehide", () => this.flush());
  }

  click(query: string, documentId: string, position: number): void {
    this.add({ id: identifier(), type: "click", query: query.slice(0, TEXT_MAX), documentId: documentId.slice(0, TEXT_MAX), position });
  }

  latency(milliseconds: number): void {
    this.add({ id: identifier(), type: "latency", milliseconds: Math.min(60_000, Math.max(0, milliseconds)) });
  }

  private add(event: Event): void {
    if (!this.wanted) return;
    this.waiting.push(event);
    if (this.waiting.length >= EVENTS_MAX) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), PAUSE_MS);
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.waiting.length > 0) this.gateway.beacon(this.waiting.splice(0));
  }
}

/** 128 random bits; `randomUUID` is there on secure pages alone. */
function identifier(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
