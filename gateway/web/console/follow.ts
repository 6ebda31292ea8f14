// Waiting for what the gateway does: for news of it, not by asking again and again.
import { ask } from "./api";
import { onChange } from "./live";
import type { Task } from "./types";

/** The longest wait for news, in case the stream of events is down. */
const SILENCE_MAX_MS = 3000;

/** Waits until one of these tables has changed, or long enough without news. */
export function news(tables: string[]): Promise<void> {
  return new Promise((done) => {
    const end = () => {
      stop();
      clearTimeout(late);
      done();
    };
    const stop = onChange(tables, end);
    const late = setTimeout(end, SILENCE_MAX_MS);
  });
}

/** Waits until a task has ended; its failure is an error. */
export async function ended(uid: number): Promise<Task> {
  for (;;) {
    const task = await ask<Task>(`/tasks/${uid}`);
    if (task.finishedAt) {
      if (task.status !== "succeeded") throw new Error(task.error?.message ?? `Task ${uid} was ${task.status}.`);
      return task;
    }
    await news(["tasks"]);
  }
}
