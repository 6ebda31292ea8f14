// Nodes, shards and operations: what the cluster is made of, and how it changes.
import { useState } from "preact/hooks";
import { ask, part, post, query, type Refusal } from "../api";
import { useAct, useRead } from "../hooks";
import { changed, health, useCell } from "../live";
import type { SectionProps } from "../sections";
import { ShardMap } from "../shardmap";
import { ago, bytes, number, plural, seconds } from "../text";
import type { Operation, Page, Shards, Topology, TopologyNode } from "../types";
import { Button, Card, Choice, Confirm, Dialog, Empty, Head, Json, Loading, Notice, Progress, Refused, say, State, Table, Text } from "../ui";

/** A change of the cluster's shape, before it is started. */
interface Wish {
  title: string;
  path: string;
  method: "POST" | "DELETE" | "PATCH";
  body?: Record<string, unknown>;
  /** The name to retype, where something is destroyed. */
  destroys?: string;
  lead: string;
}

interface Plan {
  shards?: number | unknown[];
  documents?: number;
  bytes?: number;
  seconds?: number;
  warnings?: (string | { message: string })[];
}

export default function TopologySection({ rest, readOnly }: SectionProps) {
  const topology = useRead<Topology>("/_miroir/topology", ["topology", "indexes"]);
  const shards = useRead<Shards>("/_miroir/shards", ["topology"]);
  const operations = useRead<Page<Operation>>("/_miroir/operations?limit=20", ["operations", "topology"]);
  const now = useCell(health);
  const [wish, setWish] = useState<Wish | null>(null);
  const [adding, setAdding] = useState(rest[0] === "+node");
  const [replacing, setReplacing] = useState<string | null>(null);
  const [of, setOf] = useState<string | null>(null);
  if (!topology.data) return topology.error ? <Refused error={topology.error} /> : <Loading what="the topology" />;
  const data = topology.data;
  const live = new Map(now?.nodes.map((node) => [node.id, node]));
  const groups = [...new Set(data.nodes.filter((node) => node.state !== "removed").map((node) => node.group))].sort((one, other) => one - other);
  const held = (node: string) =>
    shards.data?.placements
      .find((one) => one.shards === data.shards)
      ?.groups.reduce((sum, group) => sum + group.owners.filter((owners) => owners.includes(node)).length, 0);
  const placements = shards.data?.placements.map((one) => String(one.shards)) ?? [];
  const canChange = !readOnly && !operations.error?.absent;
  return (
    <div class="stack wide-gap">
      <Head title="Topology" lead={`Version ${data.version}; each group holds every shard, in ${plural(data.replicationFactor, "copy", "copies")}`}>
        {canChange && (
          <>
            <Button onClick={() => setWish({ title: "Even out the shards", path: "/_miroir/rebalance", method: "POST", body: {}, lead: "Shards move until every node of a group holds its share." })}>
              Rebalance
            </Button>
            <Button kind="primary" icon="plus" onClick={() => setAdding(true)}>
              Add a node
            </Button>
          </>
        )}
      </Head>
      {operations.error?.absent && (
        <Notice tone="info" title="This gateway cannot change its nodes while it runs.">
          Its version has no such routes: nodes are given with <code>--node</code> at the start.
        </Notice>
      )}
      <Card title="Nodes" flush>
        <Table<TopologyNode>
          label="Nodes"
          rows={data.nodes.filter((node) => node.state !== "removed")}
          of={(node) => node.id}
          columns={[
            { name: "Node", show: (node) => <b class="mono">{node.id}</b> },
            { name: "State", show: (node) => <State name={live.get(node.id)?.state ?? node.state} /> },
            { name: "Group", show: (node) => node.group, right: true },
            { name: "Shards", show: (node) => number(held(node.id)), right: true },
            {
              name: "Waiting for it",
              minor: true,
              show: (node) => {
                const known = live.get(node.id);
                const count = known?.hints ?? node.hints.count;
                if (known?.copyNeeded ?? node.hints.copyNeeded) return "a whole copy";
                return count ? `${plural(count, "write")}, ${bytes(known?.hintBytes ?? node.hints.bytes)}` : "nothing";
              },
            },
            { name: "Address", minor: true, show: (node) => <span class="mono faint">{node.url}</span> },
            ...(canChange
              ? [
                  {
                    name: "Acts",
                    right: true,
                    show: (node: TopologyNode) => (
                      <span class="row end">
                        <Button kind="quiet" aria-label={`Replace ${node.id}`} onClick={() => setReplacing(node.id)}>
                          Replace
                        </Button>
                        <Button
                          kind="quiet"
                          aria-label={`Drain ${node.id}`}
                          onClick={() =>
                            setWish({
                              title: `Drain ${node.id}`,
                              path: `/_miroir/nodes/${part(node.id)}/drain`,
                              method: "POST",
                              body: {},
                              lead: "Everything moves off the node. It stays known, and empty.",
                            })
                          }
                        >
                          Drain
                        </Button>
                        <Button
                          kind="quiet"
                          aria-label={`Remove ${node.id}`}
                          onClick={() =>
                            setWish({
                              title: `Remove ${node.id}`,
                              path: `/_miroir/nodes/${part(node.id)}${query({ force: live.get(node.id)?.state === "down" ? "true" : "" })}`,
                              method: "DELETE",
                              destroys: node.id,
                              lead:
                                live.get(node.id)?.state === "down"
                                  ? "The node is dead: its shards come from other copies. Where there is none, the request is refused."
                                  : "The node is drained, then forgotten.",
                            })
                          }
                        >
                          Remove
                        </Button>
                      </span>
                    ),
                  },
                ]
              : []),
          ]}
        />
      </Card>
      <Card
        title="Shard map"
        aside={
          placements.length > 1 && (
            <Choice label="Indexes of" value={of ?? String(data.shards)} set={setOf} options={placements.map((count) => [count, `${count} shards`])} />
          )
        }
      >
        {shards.data && now ? <ShardMap shards={shards.data} nodes={now.nodes} of={Number(of ?? data.shards)} /> : <Loading what="the shards" />}
      </Card>
      {!operations.error?.absent && <Operations operations={operations.data?.results ?? null} error={operations.error} readOnly={readOnly} />}
      {canChange && (
        <Card title="Copies and groups">
          <div class="stack">
            <p>
              {plural(groups.length, "group")}: each is a whole copy of everything, and serves reads by itself. Inside a group each shard is on{" "}
              {plural(data.replicationFactor, "node")}.
            </p>
            <div class="row wrap">
              <Button
                onClick={() =>
                  setWish({ title: "One copy more", path: "/_miroir/topology", method: "PATCH", body: { replicationFactor: data.replicationFactor + 1 }, lead: `Each shard will be on ${plural(data.replicationFactor + 1, "node")} of a group.` })
                }
              >
                One copy more
              </Button>
              <Button
                disabled={data.replicationFactor < 2}
                onClick={() =>
                  setWish({ title: "One copy less", path: "/_miroir/topology", method: "PATCH", body: { replicationFactor: data.replicationFactor - 1 }, destroys: "one copy less", lead: `Each shard will be on ${plural(data.replicationFactor - 1, "node")} of a group.` })
                }
              >
                One copy less
              </Button>
              {groups.length > 1 &&
                groups.map((group) => (
                  <Button
                    key={group}
                    kind="danger"
                    onClick={() => setWish({ title: `Remove group ${group}`, path: `/_miroir/groups/${group}`, method: "DELETE", destroys: `group ${group}`, lead: "The group and all its copies go." })}
                  >
                    Remove group {group}
                  </Button>
                ))}
            </div>
          </div>
        </Card>
      )}
      {adding && <NodeForm title="Add a node" groups={groups} close={() => setAdding(false)} next={(body) => { setAdding(false); setWish({ title: `Add ${body.id}`, path: "/_miroir/nodes", method: "POST", body, lead: "The node gets its share of the shards. It serves once it has them; reads stay complete meanwhile." }); }} />}
      {replacing && <NodeForm title={`Replace ${replacing}`} close={() => setReplacing(null)} next={({ id, url }) => { const old = replacing; setReplacing(null); setWish({ title: `Replace ${old} by ${id}`, path: `/_miroir/nodes/${part(old)}/replace`, method: "POST", body: { id, url }, lead: "The new node takes over the shards of the old one." }); }} />}
      {wish && <Planned wish={wish} close={() => setWish(null)} />}
    </div>
  );
}

function NodeForm(props: { title: string; groups?: number[]; close: () => void; next: (body: Record<string, unknown> & { id: string; url: string }) => void }) {
  const [id, setId] = useState("");
  const [url, setUrl] = useState("");
  const [group, setGroup] = useState(String(props.groups?.[0] ?? 0));
  const [capacity, setCapacity] = useState("1");
  const bad = url.length > 8 && !/^https?:\/\/[^/?#\s]+\/?$/.test(url);
  return (
    <Dialog title={props.title} close={props.close}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          props.next(props.groups ? { id, url, group: Number(group), capacity: Number(capacity) } : { id, url });
        }}
      >
        <Text label="Name" value={id} set={setId} autofocus mono required hint="It stays with the node's data for ever: letters, digits, _ . -" />
        <Text label="Address" value={url} set={setUrl} mono required placeholder="http://127.0.0.1:7700" error={bad ? "An address is http or https with a host and a port, without a path." : null} hint="Of a plain Meilisearch that only this gateway writes to." />
        {props.groups && (
          <div class="row wrap">
            <Choice label="Group" value={group} set={setGroup} options={[...props.groups, Math.max(...props.groups) + 1].map((one) => [String(one), props.groups!.includes(one) ? String(one) : `${one} (new)`])} />
            <Text label="Capacity" value={capacity} set={setCapacity} type="number" hint="Its weight among the nodes of its group." />
          </div>
        )}
        <div class="row end">
          <Button onClick={props.close}>Cancel</Button>
          <Button kind="primary" type="submit" disabled={!id || bad || url.length < 9}>
            Show the plan
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** Shows the dry run of a change, then starts it. */
function Planned({ wish, close }: { wish: Wish; close: () => void }) {
  const dry = useAct();
  const start = useAct();
  const [plan, setPlan] = useState<Plan | null>(null);
  const [asked, setAsked] = useState(false);
  if (!asked) {
    setAsked(true);
    const sent =
      wish.method === "DELETE"
        ? ask<Plan>(wish.path + (wish.path.includes("?") ? "&" : "?") + "dryRun=true", { method: "DELETE" })
        : ask<Plan>(wish.path, { method: wish.method, body: { ...wish.body, dryRun: true } });
    void dry.run(async () => setPlan(await sent));
  }
  const run = () =>
    start.run(async () => {
      const answer = await ask<{ operation?: number } | null>(wish.path, { method: wish.method, ...(wish.method === "DELETE" ? {} : { body: wish.body }) });
      say(answer?.operation ? `Operation ${answer.operation} has started.` : "Done.");
      changed("operations", "topology");
    });
  const figures = plan && <PlanView plan={plan} />;
  if (wish.destroys && plan)
    return (
      <Confirm title={wish.title} name={wish.destroys} act={wish.title} busy={start.busy} error={start.error} close={close} run={run}>
        <p>{wish.lead}</p>
        {figures}
      </Confirm>
    );
  return (
    <Dialog title={wish.title} close={close}>
      <div class="stack">
        <p>{wish.lead}</p>
        {dry.busy && <Loading what="the plan" />}
        <Refused error={dry.error as Refusal | null} what="There is no plan for this." />
        {figures}
        <Refused error={start.error} />
        <div class="row end">
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" busy={start.busy} disabled={!plan} onClick={async () => (await run()) && close()}>
            Start
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

function PlanView({ plan }: { plan: Plan }) {
  const warnings = plan.warnings ?? [];
  const known = ["shards", "documents", "bytes", "seconds", "warnings"];
  const more = Object.fromEntries(Object.entries(plan).filter(([name]) => !known.includes(name)));
  return (
    <div class="stack">
      <dl class="facts">
        <dt>Shards that move</dt>
        <dd>{Array.isArray(plan.shards) ? number(plan.shards.length) : number(plan.shards)}</dd>
        <dt>Documents</dt>
        <dd>{number(plan.documents)}</dd>
        <dt>Bytes</dt>
        <dd>{bytes(plan.bytes)}</dd>
        <dt>About</dt>
        <dd>{seconds(plan.seconds)}</dd>
      </dl>
      {warnings.map((warning, at) => (
        <Notice key={at} tone="warn">
          {typeof warning === "string" ? warning : warning.message}
        </Notice>
      ))}
      {(Array.isArray(plan.shards) || Object.keys(more).length > 0) && (
        <details>
          <summary>The whole plan</summary>
          <Json value={plan} />
        </details>
      )}
    </div>
  );
}

const PHASES = ["ComputingAssignments", "ShadowCreate", "Backfill", "Verify", "DualWrite", "CutoverBegin", "CutoverDraining", "CutoverDeltaPass", "CutoverActivate", "CutoverCleanup", "Complete"];

function Operations(props: { operations: Operation[] | null; error: Refusal | null; readOnly: boolean }) {
  const act = useAct();
  const ask = (number: number, wish: string) =>
    act.run(async () => {
      await post(`/_miroir/operations/${number}/${wish}`, {});
      changed("operations");
    });
  return (
    <Card title="Operations" flush>
      <Refused error={props.error ?? act.error} />
      {props.operations && !props.operations.length && <Empty title="No operation yet">What moves shards shows here, with its progress.</Empty>}
      {!!props.operations?.length && (
        <ul class="operations">
          {props.operations.map((one) => {
            const { progress } = one;
            const share = progress?.documentsTotal ? progress.documentsMoved / progress.documentsTotal : one.status === "succeeded" ? 1 : null;
            const open = ["queued", "running", "paused"].includes(one.status);
            return (
              <li key={one.operation}>
                <div class="row between wrap">
                  <span>
                    <b>
                      {one.operation} {one.kind}
                    </b>{" "}
                    <State name={one.status} />
                  </span>
                  <span class="hint">
                    {one.finishedAt ? `ended ${ago(one.finishedAt)}` : one.startedAt ? `began ${ago(one.startedAt)}` : "waits"}
                  </span>
                </div>
                {open && <Progress share={share} label={`Progress of operation ${one.operation}`} />}
                <div class="row between wrap hint">
                  <span>
                    {one.phase ? `${one.phase} (step ${PHASES.indexOf(one.phase) + 1})` : "no phase"}
                    {progress && progress.documentsTotal > 0 && `: ${number(progress.documentsMoved)} of ${number(progress.documentsTotal)} documents`}
                    {progress && progress.documentsPerSecond > 0 && `, ${number(Math.round(progress.documentsPerSecond))} a second`}
                    {progress?.secondsLeft != null && open && `, ${seconds(progress.secondsLeft)} left`}
                    {one.reason && <span class="bad-text"> {one.reason}</span>}
                  </span>
                  {open && !props.readOnly && (
                    <span class="row">
                      {one.status === "paused" ? (
                        <Button kind="quiet" onClick={() => ask(one.operation, "resume")}>Resume</Button>
                      ) : (
                        <Button kind="quiet" onClick={() => ask(one.operation, "pause")}>Pause</Button>
                      )}
                      <Button kind="quiet" onClick={() => ask(one.operation, "cutover")}>Cut over</Button>
                      <Button kind="quiet" onClick={() => ask(one.operation, "abort")}>Abort</Button>
                    </span>
                  )}
                </div>
              </li>
            );
          })}
        </ul>
      )}
    </Card>
  );
}
