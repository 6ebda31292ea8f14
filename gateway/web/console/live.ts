// What the gateway tells while the page is open: one stream of events, and the values that it brought last.
import { useEffect, useState } from "preact/hooks";
import { root } from "./api";

export interface NodeHealth {
  id: string;
  state: string;
  hints: number;
  hintBytes: number;
  copyNeeded: boolean;
}
export interface Health {
  ready: boolean;
  uncoveredShards: number;
  draining: boolean;
  topologyVersion: number;
  nodes: NodeHealth[];
  coordinator: { pod: string; pods: string[]; leads: string[]; storeReached: boolean };
}
export interface TaskCounts {
  newest: number | null;
  total: number;
  unfinished: number;
  ended: number;
}
export interface Series {
  series: string[];
  points: (number | null)[][];
}
/** Points that the page keeps: an hour. */
const POINTS_MAX = 360;

/** A value that parts of the page follow. */
class Cell<T> {
  private followers = new Set<() => void>();
  constructor(public value: T) {}
  set(value: T): void {
    this.value = value;
    this.followers.forEach((tell) => tell());
  }
  follow(tell: () => void): () => void {
    this.followers.add(tell);
    return () => this.followers.delete(tell);
  }
}

export function useCell<T>(cell: Cell<T>): T {
  const [, turn] = useState(0);
  useEffect(() => {
    turn((count) => count + 1);
    return cell.follow(() => turn((count) => count + 1));
  }, [cell]);
  return cell.value;
}

export const health = new Cell<Health | null>(null);
export const tasks = new Cell<TaskCounts | null>(null);
export const metrics = new Cell<Series>({ series: [], points: [] });
/** Whether the stream is up. */
export const connected = new Cell<boolean>(true);

type Listener = (tables: Set<string>) => void;
const listeners = new Set<Listener>();
let counts: Record<string, number> | null = null;
let stream: EventSource | null = null;

/** Calls back when one of these tables of the store has changed; `tasks` stands for any task. */
export function onChange(tables: string[], act: () => void): () => void {
  const listener: Listener = (changed) => {
    if (changed.has("all") || tables.some((table) => changed.has(table))) act();
  };
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Tells all who follow that something has changed, as when this page has changed it itself. */
export function changed(...tables: string[]): void {
  const set = new Set(tables);
  listeners.forEach((listener) => listener(set));
}

/** Opens the stream; a lost one comes back by itself, and then everything is read again. */
export function open(): void {
  close();
  stream = new EventSource(`${root}/_miroir/admin/events`, { withCredentials: true });
  const on = (name: string, act: (data: never) => void) =>
    stream?.addEventListener(name, (event) => act(JSON.parse((event as MessageEvent<string>).data) as never));
  stream.onopen = () => {
    const was = connected.value;
    connected.set(true);
    counts = null;
    if (!was) changed("all");
  };
  stream.onerror = () => {
    connected.set(false);
    // A browser gives up on a stream that was refused once; the session may be over, or the gateway away.
    if (stream?.readyState === EventSource.CLOSED) setTimeout(() => stream && open(), 3000);
  };
  on("health", (value: Health) => {
    const before = health.value;
    health.set(value);
    if (before && before.topologyVersion !== value.topologyVersion) changed("topology");
  });
  on("tasks", (value: TaskCounts) => {
    const before = tasks.value;
    tasks.set(value);
    if (before && JSON.stringify(before) !== JSON.stringify(value)) changed("tasks");
  });
  on("changes", (value: Record<string, number>) => {
    const before = counts;
    counts = value;
    if (!before) return;
    const tables = Object.keys(value).filter((table) => value[table] !== before[table]);
    if (tables.length) changed(...tables);
  });
  on("history", (value: Series) => metrics.set(value));
  on("metrics", (point: (number | null)[]) => {
    const { series, points } = metrics.value;
    if (points.length && points[points.length - 1]![0] === point[0]) return;
    metrics.set({ series, points: [...points, point].slice(-POINTS_MAX) });
  });
}

export function close(): void {
  stream?.close();
  stream = null;
}
