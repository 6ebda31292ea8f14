// Reading from the gateway inside a component, and acting on it.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ask, Refusal } from "./api";
import { onChange } from "./live";

export interface Read<T> {
  data: T | null;
  error: Refusal | null;
  loading: boolean;
  reload: () => void;
}

/** Reads a path, and again whenever one of these tables has changed. Without a path nothing is read. */
export function useRead<T>(path: string | null, tables: string[] = []): Read<T> {
  const [state, setState] = useState<{ data: T | null; error: Refusal | null; loading: boolean }>({
    data: null,
    error: null,
    loading: path !== null,
  });
  const [turn, setTurn] = useState(0);
  const of = useRef<string | null>(null);
  const reload = useCallback(() => setTurn((count) => count + 1), []);
  useEffect(() => {
    if (path === null) return setState({ data: null, error: null, loading: false });
    const abort = new AbortController();
    // What is shown stays while the same is read again.
    if (of.current !== path) setState({ data: null, error: null, loading: true });
    of.current = path;
    ask<T>(path, { signal: abort.signal })
      .then((data) => setState({ data, error: null, loading: false }))
      .catch((error: Error) => {
        if (error.name !== "AbortError")
          setState((known) => ({ data: known.data, error: error as Refusal, loading: false }));
      });
    return () => abort.abort();
  }, [path, turn]);
  const key = tables.join();
  useEffect(() => {
    if (!key) return;
    let waiting: ReturnType<typeof setTimeout> | undefined;
    // Many changes at one time are read once.
    const stop = onChange(key.split(","), () => {
      waiting ??= setTimeout(() => {
        waiting = undefined;
        reload();
      }, 150);
    });
    return () => {
      stop();
      clearTimeout(waiting);
    };
  }, [key, reload]);
  return { ...state, reload };
}

/** An act with its state: whether it runs, and how it was refused. */
export function useAct(): {
  busy: boolean;
  error: Refusal | null;
  run: (act: () => Promise<unknown>) => Promise<boolean>;
  clear: () => void;
} {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Refusal | null>(null);
  const run = useCallback(async (act: () => Promise<unknown>) => {
    setBusy(true);
    setError(null);
    try {
      await act();
      return true;
    } catch (refused) {
      setError(refused instanceof Refusal ? refused : new Refusal(0, (refused as Error).message));
      return false;
    } finally {
      setBusy(false);
    }
  }, []);
  return { busy, error, run, clear: useCallback(() => setError(null), []) };
}

/** A state that outlives the section, in this tab. */
export function useKept<T>(name: string, initial: T): [T, (value: T) => void] {
  const [value, set] = useState<T>(() => {
    try {
      const kept = sessionStorage.getItem(`miroir:${name}`);
      return kept === null ? initial : (JSON.parse(kept) as T);
    } catch {
      return initial;
    }
  });
  return [
    value,
    (next) => {
      set(next);
      try {
        sessionStorage.setItem(`miroir:${name}`, JSON.stringify(next));
      } catch {
        // A browser that keeps nothing shows the same, until it is reloaded.
      }
    },
  ];
}
