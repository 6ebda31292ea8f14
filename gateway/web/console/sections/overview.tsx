// The cluster in one glance: what needs attention first, then figures, nodes and what happened last.
import { Spark, last } from "../chart";
import { useRead } from "../hooks";
import { health, metrics, tasks, useCell } from "../live";
import type { SectionProps } from "../sections";
import { ShardMap } from "../shardmap";
import { ago, bytes, milliseconds, number, plural, short } from "../text";
import type { Operation, Page, Shards, Stats, Task, Topology } from "../types";
import { Button, Card, Empty, Head, Loading, Notice, Refused, State, Table, Tile } from "../ui";

interface Attention {
  tone: "bad" | "warn";
  title: string;
  text: string;
  to: string;
  act: string;
}

const [HOUR, DAY] = [3_600_000, 86_400_000];

const lately = (date: string | null, within: number): boolean => date !== null && Date.now() - Date.parse(date) < within;

/** What an operator should look at, the worst first. */
function attention(
  now: NonNullable<typeof health.value>,
  failed: Task[],
  operations: Operation[],
): Attention[] {
  const found: Attention[] = [];
  if (now.uncoveredShards)
    found.push({
      tone: "bad",
      title: `${plural(now.uncoveredShards, "shard")} cannot be read`,
      text: "No healthy node holds them: searches are partial. Bring their nodes back.",
      to: "#/topology",
      act: "See which",
    });
  for (const node of now.nodes) {
    if (node.state === "down")
      found.push({
        tone: "bad",
        title: `Node ${node.id} is down`,
        text: node.hints
          ? `${plural(node.hints, "write")} (${bytes(node.hintBytes)}) wait for it, and it catches up by itself when it answers again.`
          : "It catches up by itself when it answers again. If it is lost for good, replace it.",
        to: "#/topology",
        act: "Open topology",
      });
    else if (node.state !== "healthy" && node.state !== "draining")
      found.push({
        tone: "warn",
        title: `Node ${node.id} is ${node.state}`,
        text:
          node.state === "joining"
            ? `It takes what it missed before it serves${node.hints ? `: ${plural(node.hints, "write")} to go` : ""}.`
            : "It failed a moment ago and is watched.",
        to: "#/topology",
        act: "Watch",
      });
    if (node.copyNeeded && node.state !== "down")
      found.push({
        tone: "warn",
        title: `Node ${node.id} is copied anew`,
        text: "It missed more than is kept for it.",
        to: "#/topology",
        act: "Watch",
      });
  }
  if (!now.coordinator.storeReached)
    found.push({
      tone: "bad",
      title: "The store is out of reach",
      text: "Reads go on; writes are refused until it answers.",
      to: "#/configuration",
      act: "See which store",
    });
  for (const operation of operations)
    if (operation.status === "paused" || (operation.status === "failed" && lately(operation.finishedAt, DAY)))
      found.push({
        tone: operation.status === "failed" ? "bad" : "warn",
        title: `Operation ${operation.operation} (${operation.kind}) has ${operation.status === "failed" ? "failed" : "been paused"}`,
        text: operation.reason ?? "It goes on where it was once it is resumed.",
        to: "#/topology",
        act: "Open it",
      });
  if (failed.length)
    found.push({
      tone: "warn",
      title: `${plural(failed.length, "task")} failed in the last hour`,
      text: failed[0]!.error?.message ?? "",
      to: "#/tasks?status=failed",
      act: "See them",
    });
  return found.sort((one, other) => (one.tone === other.tone ? 0 : one.tone === "bad" ? -1 : 1));
}

export default function Overview(_: SectionProps) {
  const now = useCell(health);
  const all = useCell(metrics);
  const counts = useCell(tasks);
  const stats = useRead<Stats>("/stats", ["tasks", "indexes"]);
  const topology = useRead<Topology>("/_miroir/topology", ["topology", "indexes"]);
  const shards = useRead<Shards>("/_miroir/shards", ["topology"]);
  const recent = useRead<Page<Task>>("/tasks?limit=8", ["tasks"]);
  const failed = useRead<Page<Task>>("/tasks?limit=20&statuses=failed", ["tasks"]);
  const operations = useRead<Page<Operation>>("/_miroir/operations?limit=20", ["operations", "topology"]);
  if (!now || !topology.data) return topology.error ? <Refused error={topology.error} /> : <Loading what="the overview" />;
  const broken = (failed.data?.results ?? []).filter((task) => lately(task.finishedAt, HOUR));
  const needs = attention(now, broken, operations.data?.results ?? []);
  const healthy = now.nodes.filter((node) => node.state === "healthy" || node.state === "draining").length;
  const documents = Object.values(stats.data?.indexes ?? {}).reduce((sum, one) => sum + one.numberOfDocuments, 0);
  const running = (operations.data?.results ?? []).filter((one) => one.status === "running" || one.status === "queued");
  const indexes = topology.data.indexes.length;
  return (
    <div class="stack wide-gap">
      <Head title="Overview" lead={`${plural(now.nodes.length, "node")}, ${plural(new Set(topology.data.nodes.filter((node) => node.state !== "removed").map((node) => node.group)).size, "group")}, ${plural(topology.data.coordinator.pods.length || 1, "pod")}; every shard ${plural(topology.data.replicationFactor, "copy", "copies")} a group`} />
      {needs.length ? (
        <section class="stack" aria-label="Needs attention">
          {needs.slice(0, 6).map((one) => (
            <Notice key={one.title} tone={one.tone} title={one.title} act={<a class="button" href={one.to}>{one.act}</a>}>
              {one.text}
            </Notice>
          ))}
        </section>
      ) : (
        <p class="calm">
          <span class="state good">
            <span class="dot" aria-hidden="true" />
            Nothing needs attention.
          </span>
        </p>
      )}
      {!indexes && <FirstSteps />}
      <dl class="tiles">
        <Tile label="Nodes healthy" value={`${healthy} / ${now.nodes.length}`} tone={healthy === now.nodes.length ? "plain" : "warn"} />
        <Tile
          label="Shards served"
          value={`${number(topology.data.shards - now.uncoveredShards)} / ${number(topology.data.shards)}`}
          tone={now.uncoveredShards ? "bad" : "plain"}
        />
        <Tile label="Documents" value={short(documents)} note={`in ${plural(indexes, "index", "indexes")}`} />
        <Tile label="Searches a second" value={short(last(all, "searches"))} note={<Spark all={all} name="searches" label="Searches a second, last ten minutes" />} />
        <Tile label="Search latency, p95" value={milliseconds(last(all, "searchP95"))} note={<Spark all={all} name="searchP95" label="Latency of searches, last ten minutes" />} />
        <Tile label="Tasks to do" value={number(counts?.unfinished)} note={`${number(counts?.total)} in all`} />
      </dl>
      <div class="columns">
        <Card title="Shards" aside={<a href="#/topology">Topology</a>}>
          {shards.data ? (
            <ShardMap shards={shards.data} nodes={now.nodes} of={topology.data.shards} compact />
          ) : (
            <Loading what="the shards" />
          )}
        </Card>
        <Card title="Latest tasks" aside={<a href="#/tasks">All tasks</a>} flush>
          {recent.data && !recent.data.results.length && <Empty title="No task yet">Every write makes one, and shows here.</Empty>}
          {recent.data && recent.data.results.length > 0 && (
            <Table
              label="Latest tasks"
              rows={recent.data.results}
              of={(task) => task.uid}
              open={(task) => (location.hash = `#/tasks/${task.uid}`)}
              openLabel={(task) => `Task ${task.uid}`}
              columns={[
                { name: "Task", show: (task) => <span class="mono">{task.uid}</span> },
                { name: "What", show: (task) => task.type },
                { name: "Index", show: (task) => task.indexUid ?? "–", minor: true },
                { name: "State", show: (task) => <State name={task.status} /> },
                { name: "When", show: (task) => ago(task.finishedAt ?? task.enqueuedAt), right: true },
              ]}
            />
          )}
        </Card>
      </div>
      {running.length > 0 && (
        <Card title="Operations under way" aside={<a href="#/topology">Topology</a>} flush>
          <Table
            label="Operations under way"
            rows={running}
            of={(one) => one.operation}
            columns={[
              { name: "Operation", show: (one) => `${one.operation} ${one.kind}` },
              { name: "State", show: (one) => <State name={one.status} /> },
              { name: "Phase", show: (one) => one.phase ?? "–" },
              { name: "Moved", show: (one) => `${number(one.progress?.documentsMoved)} / ${number(one.progress?.documentsTotal)}`, right: true },
            ]}
          />
        </Card>
      )}
    </div>
  );
}

function FirstSteps() {
  return (
    <Card title="First steps" class="first">
      <ol class="steps">
        <li>
          <b>Make an index.</b> It is spread over all nodes by itself.{" "}
          <Button kind="primary" icon="plus" onClick={() => (location.hash = "#/indexes/+new")}>
            Create an index
          </Button>
        </li>
        <li>
          <b>Drop a file into it:</b> JSON, NDJSON or CSV, under <a href="#/documents">Documents</a>.
        </li>
        <li>
          <b>Search it</b> in the <a href="#/sandbox">query sandbox</a>, which also says where the time went.
        </li>
      </ol>
    </Card>
  );
}
