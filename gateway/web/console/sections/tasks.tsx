// Tasks: every write, filtered, with each node's part of it.
import { useState } from "preact/hooks";
import { ask, post, query } from "../api";
import { useAct, useKept, useRead } from "../hooks";
import { changed } from "../live";
import { useIndexes } from "../picker";
import type { SectionProps } from "../sections";
import { ago, clock, isoSeconds, number, plural, seconds } from "../text";
import type { Page, Task } from "../types";
import { Absent, Button, Card, Choice, Dialog, Empty, Head, Json, Loading, Notice, Refused, say, State, Table } from "../ui";

const STATUSES = ["enqueued", "processing", "succeeded", "failed", "canceled"];
const TYPES = ["documentAdditionOrUpdate", "documentEdition", "documentDeletion", "settingsUpdate", "indexCreation", "indexUpdate", "indexDeletion", "indexSwap", "indexCompaction", "taskCancelation", "taskDeletion", "dumpCreation", "snapshotCreation"];
const TIMES: [string, string][] = [["", "any time"], ["600", "last 10 minutes"], ["3600", "last hour"], ["86400", "last day"], ["604800", "last week"]];
const LIMIT = 30;

export default function Tasks({ rest }: SectionProps) {
  const asked = new URLSearchParams(location.hash.split("?")[1] ?? "").get("status");
  const [filter, setFilter] = useKept("tasks", { status: "", type: "", index: "", within: "" });
  const shown = asked ? { ...filter, status: asked } : filter;
  const [from, setFrom] = useState<number | null>(null);
  const { all } = useIndexes(undefined);
  const after = shown.within ? new Date(Math.floor((Date.now() - Number(shown.within) * 1000) / 60_000) * 60_000).toISOString() : "";
  const tasks = useRead<Page<Task>>(
    `/tasks${query({ limit: LIMIT, from, statuses: shown.status, types: shown.type, indexUids: shown.index, afterEnqueuedAt: after })}`,
    ["tasks"],
  );
  const set = (with_: Partial<typeof filter>) => {
    if (asked) history.replaceState(null, "", "#/tasks");
    setFilter({ ...shown, ...with_ });
    setFrom(null);
  };
  return (
    <div class="stack wide-gap">
      <Head title="Tasks" lead={tasks.data ? plural(tasks.data.total ?? 0, "task") : undefined} />
      <div class="row wrap filters">
        <Choice label="State" value={shown.status} set={(status) => set({ status })} options={[["", "any state"], ...STATUSES.map((one) => [one, one] as [string, string])]} />
        <Choice label="What" value={shown.type} set={(type) => set({ type })} options={[["", "anything"], ...TYPES.map((one) => [one, one] as [string, string])]} />
        <Choice label="Index" value={shown.index} set={(index) => set({ index })} options={[["", "all indexes"], ...all.map((one) => [one, one] as [string, string])]} />
        <Choice label="When" value={shown.within} set={(within) => set({ within })} options={TIMES} />
      </div>
      <Card flush>
        <Refused error={tasks.error} />
        {tasks.loading && !tasks.data && <Loading what="tasks" />}
        {tasks.data && !tasks.data.results.length && <Empty title="No task matches" />}
        {!!tasks.data?.results.length && (
          <Table<Task>
            label="Tasks"
            rows={tasks.data.results}
            of={(task) => task.uid}
            chosen={rest[0] ? Number(rest[0]) : null}
            open={(task) => (location.hash = `#/tasks/${task.uid}`)}
            openLabel={(task) => `Task ${task.uid}, ${task.type}, ${task.status}`}
            columns={[
              { name: "Task", show: (task) => <span class="mono">{task.uid}</span> },
              { name: "What", show: (task) => task.type },
              { name: "Index", show: (task) => task.indexUid ?? "–", minor: true },
              { name: "State", show: (task) => <State name={task.status} /> },
              { name: "Took", show: (task) => seconds(isoSeconds(task.duration)), right: true, minor: true },
              { name: "When", show: (task) => <span title={clock(task.enqueuedAt)}>{ago(task.finishedAt ?? task.enqueuedAt)}</span>, right: true },
            ]}
          />
        )}
        {(from !== null || tasks.data?.next != null) && (
          <div class="row between pager">
            <Button disabled={from === null} onClick={() => setFrom(null)}>Newest</Button>
            <Button disabled={tasks.data?.next == null} onClick={() => setFrom(tasks.data!.next!)}>Older</Button>
          </div>
        )}
      </Card>
      {rest[0] && <One uid={rest[0]} />}
    </div>
  );
}

interface NodePart {
  node: string;
  uid: number;
  documents: number;
  shared: boolean;
  status: string;
  error: { message: string } | null;
}

function One({ uid }: { uid: string }) {
  const task = useRead<Task>(`/tasks/${encodeURIComponent(uid)}`, ["tasks"]);
  const parts = useRead<Page<NodePart>>(`/_miroir/admin/tasks/${encodeURIComponent(uid)}`, ["tasks"]);
  const { busy, error, run } = useAct();
  const close = () => (location.hash = "#/tasks");
  const found = task.data;
  const open = found && !found.finishedAt;
  return (
    <Dialog title={`Task ${uid}`} close={close} side>
      <div class="stack">
        <Refused error={task.error} />
        {!found && !task.error && <Loading what="the task" />}
        {found && (
          <>
            <div class="row between wrap">
              <b>{found.type}</b>
              <State name={found.status} />
            </div>
            {found.error && (
              <Notice tone="bad" title={found.error.code}>
                {found.error.message}
              </Notice>
            )}
            <dl class="facts">
              <dt>Index</dt>
              <dd>{found.indexUid ?? "–"}</dd>
              <dt>Enqueued</dt>
              <dd>{clock(found.enqueuedAt)}</dd>
              <dt>Began</dt>
              <dd>{found.startedAt ? clock(found.startedAt) : "–"}</dd>
              <dt>Ended</dt>
              <dd>{found.finishedAt ? clock(found.finishedAt) : "–"}</dd>
              <dt>Took</dt>
              <dd>{seconds(isoSeconds(found.duration))}</dd>
            </dl>
            {found.details && (
              <>
                <h3>Details</h3>
                <Json value={found.details} />
              </>
            )}
            <h3>Each node's part</h3>
            {parts.error?.absent && <Absent what="Parts of nodes" />}
            {parts.data && !parts.data.results.length && <p class="hint">The gateway itself does this; no node is asked.</p>}
            {!!parts.data?.results.length && (
              <Table<NodePart>
                label="Each node's part"
                rows={parts.data.results}
                of={(one) => `${one.node} ${one.uid}`}
                columns={[
                  { name: "Node", show: (one) => <span class="mono">{one.node}</span> },
                  { name: "State", show: (one) => <State name={one.status} /> },
                  { name: "Documents", show: (one) => number(one.documents), right: true },
                  { name: "Refusal", show: (one) => <span class="breaks">{one.error?.message ?? ""}</span> },
                ]}
              />
            )}
            <Refused error={error} />
            {open && (
              <div class="row end">
                <Button
                  busy={busy}
                  onClick={() =>
                    run(async () => {
                      await post(`/tasks/cancel?uids=${found.uid}`, undefined);
                      changed("tasks");
                      say("It is asked to stop.");
                    })
                  }
                >
                  Cancel the task
                </Button>
              </div>
            )}
            {!open && (
              <div class="row end">
                <Button
                  busy={busy}
                  onClick={() =>
                    run(async () => {
                      await ask(`/tasks?uids=${found.uid}`, { method: "DELETE" });
                      changed("tasks");
                      close();
                    })
                  }
                >
                  Forget the task
                </Button>
              </div>
            )}
          </>
        )}
      </div>
    </Dialog>
  );
}
