// Audit: who changed what, before and after.
import { useState } from "preact/hooks";
import { query } from "../api";
import { useRead } from "../hooks";
import type { SectionProps } from "../sections";
import { clock } from "../text";
import { Absent, Button, Card, Dialog, Empty, Head, Json, Loading, Refused, Table } from "../ui";
import { Diff } from "./indexes";

type Entry = Record<string, unknown>;
const LIMIT = 50;

const first = (entry: Entry, ...names: string[]): unknown => names.map((name) => entry[name]).find((value) => value !== undefined && value !== null);
const text = (value: unknown): string => (value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value));

export default function Audit(_: SectionProps) {
  const [from, setFrom] = useState<number | null>(null);
  const [shown, setShown] = useState<Entry | null>(null);
  const log = useRead<{ results: Entry[]; next?: number | null }>(`/_miroir/audit${query({ limit: LIMIT, from })}`, ["audit"]);
  if (log.error?.absent) return <><Head title="Audit" /><Absent what="Audit logs" /></>;
  const rows = log.data?.results ?? [];
  return (
    <div class="stack wide-gap">
      <Head title="Audit" lead="Every change through the management API: who, what, before and after" />
      <Card flush>
        <Refused error={log.error} />
        {!log.data && !log.error && <Loading what="the log" />}
        {log.data && !rows.length && <Empty title="Nothing was changed yet" />}
        {rows.length > 0 && (
          <Table<{ entry: Entry; at: number }>
            label="Changes"
            rows={rows.map((entry, at) => ({ entry, at }))}
            of={({ entry, at }) => String(first(entry, "sequence", "id", "number") ?? at)}
            open={({ entry }) => setShown(entry)}
            columns={[
              { name: "When", show: ({ entry }) => { const at = first(entry, "at", "timestamp", "time"); return typeof at === "string" || typeof at === "number" ? clock(at) : "–"; } },
              { name: "Who", show: ({ entry }) => text(first(entry, "who", "key", "actor", "by")) },
              { name: "What", show: ({ entry }) => <span class="mono">{[first(entry, "method"), text(first(entry, "what", "action", "operation", "path"))].filter(Boolean).join(" ")}</span> },
              { name: "On", show: ({ entry }) => text(first(entry, "target", "index", "subject", "path")), minor: true },
            ]}
          />
        )}
        {(from !== null || log.data?.next != null) && (
          <div class="row between pager">
            <Button disabled={from === null} onClick={() => setFrom(null)}>Newest</Button>
            <Button disabled={log.data?.next == null} onClick={() => setFrom(log.data!.next!)}>Older</Button>
          </div>
        )}
      </Card>
      {shown && (
        <Dialog title="A change" close={() => setShown(null)} wide>
          <div class="stack">
            {("before" in shown || "after" in shown) && <Diff before={shown.before ?? null} after={shown.after ?? null} />}
            <details open={!("before" in shown)}>
              <summary>All of it</summary>
              <Json value={shown} />
            </details>
          </div>
        </Dialog>
      )}
    </div>
  );
}
