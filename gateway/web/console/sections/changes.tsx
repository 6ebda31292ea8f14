// Changes: what happens to documents, as it happens, and where it is sent.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, query, type Refusal } from "../api";
import { useRead } from "../hooks";
import { useIndexes } from "../picker";
import type { SectionProps } from "../sections";
import { bytes, plural, seconds } from "../text";
import { Absent, Badge, Button, Card, Choice, Dialog, Empty, Head, Json, Refused, State, Table } from "../ui";

interface Event {
  eventId: string;
  taskUid: number;
  index: string;
  operation: string;
  primaryKeys: unknown[];
  shardIds: number[];
  settingsVersion: number;
  timestamp: string | number;
}
interface Sink {
  name?: string;
  sink?: string;
  state: string;
  cursor: unknown;
  lagSeconds: number;
  bufferedBytes: number;
  dropped: number;
}
/** Events that are kept on the page. */
const KEPT_MAX = 500;
/** Seconds that one question waits for the first event. */
const WAIT = 20;

export default function Changes(_: SectionProps) {
  const { all } = useIndexes(undefined);
  const [index, setIndex] = useState("");
  const [events, setEvents] = useState<Event[]>([]);
  const [paused, setPaused] = useState(false);
  const [error, setError] = useState<Refusal | null>(null);
  const [shown, setShown] = useState<Event | null>(null);
  const cursor = useRef<unknown>(null);
  const sinks = useRead<{ results: Sink[] }>(error?.absent ? null : "/_miroir/changes/sinks", ["cdc_cursors"]);
  useEffect(() => {
    if (paused) return;
    const abort = new AbortController();
    void (async () => {
      // A page that begins here shows what comes from now on.
      let since = cursor.current;
      while (!abort.signal.aborted) {
        try {
          const found: { results: Event[]; next: unknown } = await ask(
            `/_miroir/changes${query({ index, limit: 100, wait: WAIT, since: since === null ? "" : String(since) })}`,
            { signal: abort.signal },
          );
          since = found.next;
          cursor.current = since;
          setError(null);
          if (found.results.length) setEvents((known) => [...found.results.reverse(), ...known].slice(0, KEPT_MAX));
        } catch (refused) {
          if ((refused as Error).name === "AbortError") return;
          setError(refused as Refusal);
          if ((refused as Refusal).status !== 0 && (refused as Refusal).status < 500) return;
          await new Promise((done) => setTimeout(done, 2000));
        }
      }
    })();
    return () => abort.abort();
  }, [index, paused]);
  if (error?.absent) return <><Head title="Changes" /><Absent what="Changes" option="--cdc on" /></>;
  return (
    <div class="stack wide-gap">
      <Head title="Changes" lead="Every document that is written or deleted, as it happens">
        <Choice label="Index" value={index} set={(uid) => { cursor.current = null; setEvents([]); setIndex(uid); }} options={[["", "all indexes"], ...all.map((uid) => [uid, uid] as [string, string])]} />
        <Button onClick={() => setPaused(!paused)}>{paused ? "Go on" : "Hold"}</Button>
        <Button onClick={() => setEvents([])}>Clear</Button>
      </Head>
      <Refused error={error} />
      <Card title={paused ? "Held" : "Live"} flush aside={<span class="hint">{plural(events.length, "event")}</span>}>
        {!events.length && <Empty title={paused ? "Nothing was seen yet" : "Waiting for the first change"}>It shows here within a moment of the write.</Empty>}
        {events.length > 0 && (
          <Table<Event>
            label="Changes"
            rows={events}
            of={(one) => one.eventId}
            open={setShown}
            columns={[
              { name: "When", show: (one) => new Date(one.timestamp).toLocaleTimeString("en-GB") },
              { name: "What", show: (one) => <Badge tone={one.operation === "delete" ? "warn" : one.operation === "add" ? "good" : "info"}>{one.operation}</Badge> },
              { name: "Index", show: (one) => one.index },
              { name: "Documents", show: (one) => <span class="mono">{one.primaryKeys.slice(0, 4).map(String).join(", ")}{one.primaryKeys.length > 4 ? ` and ${one.primaryKeys.length - 4} more` : ""}</span> },
              { name: "Shards", show: (one) => one.shardIds.slice(0, 6).join(", "), minor: true },
              { name: "Task", show: (one) => <a href={`#/tasks/${one.taskUid}`}>{one.taskUid}</a>, right: true, minor: true },
            ]}
          />
        )}
      </Card>
      <Card title="Where changes are sent" flush>
        {sinks.error && !sinks.error.absent && <Refused error={sinks.error} />}
        {!sinks.data?.results?.length && <Empty title="Nowhere but here"><code>--cdc-sink KIND=URL</code> sends them on.</Empty>}
        {!!sinks.data?.results?.length && (
          <Table<Sink>
            label="Sinks"
            rows={sinks.data.results}
            of={(sink) => sink.name ?? sink.sink ?? JSON.stringify(sink)}
            columns={[
              { name: "Sink", show: (sink) => sink.name ?? sink.sink ?? "–" },
              { name: "State", show: (sink) => <State name={sink.state} /> },
              { name: "Behind", show: (sink) => seconds(sink.lagSeconds), right: true },
              { name: "Buffered", show: (sink) => bytes(sink.bufferedBytes), right: true, minor: true },
              { name: "Dropped", show: (sink) => sink.dropped, right: true },
            ]}
          />
        )}
      </Card>
      {shown && (
        <Dialog title={`Event ${shown.eventId}`} close={() => setShown(null)} side>
          <Json value={shown} />
        </Dialog>
      )}
    </div>
  );
}
