import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DEBOUNCE_MS, Engine } from "./engine";
import { NOTHING } from "./state";
import { Failure, type PageConfig, type SearchAnswer } from "./types";

const PAGE = { index: "i", facets: [], sorts: [], searchable: [], display: {}, hitsPerPage: 2, primaryKey: "id" } as unknown as PageConfig;

/** A gateway whose answers come when the test says so. */
class Held {
  asked: { q: string; page: number; answer(hits: string[], pages?: number): void; fail(error: Error): void; signal: AbortSignal }[] = [];

  search(questions: { q: string; page?: number }[], signal: AbortSignal): Promise<SearchAnswer[]> {
    return new Promise((resolve, reject) => {
      const { q, page = 1 } = questions[0]!;
      const answer = (hits: string[], pages = 1) =>
        resolve([{ indexUid: "i", query: q, processingTimeMs: 1, page, totalPages: pages, totalHits: 9, hits: hits.map((name) => ({ id: name, name })) }]);
      this.asked.push({ q, page, answer, fail: reject, signal });
    });
  }
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const settled = () => vi.advanceTimersByTimeAsync(0);
const names = (engine: Engine) => engine.known.results?.hits.map((hit) => hit.id);

test("typing asks once, after a pause", async () => {
  const gateway = new Held();
  const engine = new Engine(gateway, PAGE, NOTHING, () => {});
  for (const q of ["p", "pa", "par"]) {
    engine.set({ q }, true);
    await vi.advanceTimersByTimeAsync(DEBOUNCE_MS - 1);
  }
  expect(gateway.asked).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(gateway.asked.map((asked) => asked.q)).toEqual(["par"]);
});

test("late answers are dropped", async () => {
  const gateway = new Held();
  const engine = new Engine(gateway, PAGE, NOTHING, () => {});
  engine.set({ q: "old" });
  engine.set({ q: "new" });
  expect(gateway.asked[0]!.signal.aborted).toBe(true);
  gateway.asked[1]!.answer(["new"]);
  await settled();
  gateway.asked[0]!.answer(["old"]);
  await settled();
  expect(names(engine)).toEqual(["new"]);
});

test("the last answer stays while the next is asked, and after it failed", async () => {
  const gateway = new Held();
  const engine = new Engine(gateway, PAGE, NOTHING, () => {});
  void engine.run();
  gateway.asked[0]!.answer(["a"]);
  await settled();
  engine.set({ q: "x" });
  expect([names(engine), engine.known.loading]).toEqual([["a"], true]);
  gateway.asked[1]!.fail(new Failure("no", "unreachable", 0));
  await settled();
  expect([names(engine), engine.known.failure?.code]).toEqual([["a"], "unreachable"]);
  // It is asked again by itself.
  await vi.advanceTimersByTimeAsync(1000);
  gateway.asked[2]!.answer(["x"]);
  await settled();
  expect([names(engine), engine.known.failure]).toEqual([["x"], null]);
});

test("what cannot be helped is not asked again", async () => {
  const gateway = new Held();
  const engine = new Engine(gateway, PAGE, NOTHING, () => {});
  void engine.run();
  gateway.asked[0]!.fail(new Failure("wrong", "invalid_search_filter", 400));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(gateway.asked).toHaveLength(1);
});

test("further pages are added, a new question begins anew", async () => {
  const gateway = new Held();
  const engine = new Engine(gateway, PAGE, NOTHING, () => {});
  void engine.run();
  gateway.asked[0]!.answer(["a", "b"], 2);
  await settled();
  engine.more();
  gateway.asked[1]!.answer(["c"], 2);
  await settled();
  expect([names(engine), gateway.asked[1]!.page]).toEqual([["a", "b", "c"], 2]);
  engine.more();
  expect(gateway.asked).toHaveLength(2);
  engine.set({ q: "z" });
  expect(gateway.asked[2]!.page).toBe(1);
  gateway.asked[2]!.answer(["z"]);
  await settled();
  expect(names(engine)).toEqual(["z"]);
});
