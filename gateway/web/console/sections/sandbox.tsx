// The query sandbox: a search with its facets and hits, where its time went, and the same search somewhere else beside it.
import { useEffect, useState } from "preact/hooks";
import { part, post, type Refusal } from "../api";
import { useKept, useRead } from "../hooks";
import { Picker, useIndexes } from "../picker";
import type { SectionProps } from "../sections";
import { number, plural, short } from "../text";
import type { Explained, Hits, Settings } from "../types";
import { Badge, Button, Card, Cell, Check, Choice, Empty, Head, Json, Loading, Notice, Refused, Table, Text } from "../ui";

interface Query {
  q: string;
  filter: string;
  sort: string;
  facets: string;
  limit: string;
  extra: string;
}
/** Whether there is room for all fields at once. */
const wide = matchMedia("(min-width: 640px)").matches;
const EMPTY: Query = { q: "", filter: "", sort: "", facets: "", limit: "20", extra: "" };

interface Outcome {
  uid: string;
  explained: Explained | null;
  error: Refusal | null;
}

const listed = (text: string): string[] => text.split(",").map((one) => one.trim()).filter(Boolean);

/** The body of the search; more members may be given as JSON. */
function bodyOf(query: Query): Record<string, unknown> {
  return {
    q: query.q,
    limit: Number(query.limit) || 20,
    ...(query.filter ? { filter: query.filter } : {}),
    ...(query.sort ? { sort: listed(query.sort) } : {}),
    ...(query.facets ? { facets: listed(query.facets) } : {}),
    ...(query.extra.trim() ? (JSON.parse(query.extra) as Record<string, unknown>) : {}),
  };
}

async function search(uid: string, body: Record<string, unknown>): Promise<Outcome> {
  try {
    return { uid, explained: await post<Explained>(`/indexes/${part(uid)}/explain?execute=true`, body), error: null };
  } catch (error) {
    return { uid, explained: null, error: error as Refusal };
  }
}

export default function Sandbox({ rest }: SectionProps) {
  const { all, uid, ready, aliases } = useIndexes(rest[0]);
  const [query, setQuery] = useKept<Query>("query", EMPTY);
  const [other, setOther] = useState("");
  const [outcomes, setOutcomes] = useState<Outcome[]>([]);
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState("");
  const [images, setImages] = useKept("images", false);
  const settings = useRead<Settings>(uid ? `/indexes/${part(uid)}/settings` : null, ["indexes"]);
  const run = async () => {
    let body: Record<string, unknown>;
    try {
      body = bodyOf(query);
      setFault("");
    } catch (error) {
      return setFault(`This is not JSON: ${(error as Error).message}`);
    }
    setBusy(true);
    setOutcomes(await Promise.all([uid, ...(other ? [other] : [])].map((one) => search(one, body))));
    setBusy(false);
  };
  useEffect(() => {
    if (uid) void run();
  }, [uid, other]);
  if (ready && !uid)
    return (
      <div class="stack wide-gap">
        <Head title="Query sandbox" />
        <Empty title="There is nothing to search yet" act={<a class="button primary" href="#/indexes/+new">Create an index</a>} />
      </div>
    );
  const set = (with_: Partial<Query>) => setQuery({ ...query, ...with_ });
  const names = (name: string) => {
    const value = settings.data?.[name];
    return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
  };
  return (
    <div class="stack wide-gap">
      <Head title="Query sandbox" lead="What a client would get, and why it took as long as it did">
        <Picker section="sandbox" all={all} aliases={aliases} uid={uid} />
        <Choice label="Beside it" value={other} set={setOther} options={[["", "nothing"], ...[...all, ...aliases].filter((one) => one !== uid).map((one) => [one, one] as [string, string])]} />
      </Head>
      <Card>
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            void run();
          }}
        >
          <div class="query-row">
            <Text label="Query" value={query.q} set={(q) => set({ q })} wide autofocus type="search" placeholder="Empty: every document" />
            <Button kind="primary" type="submit" busy={busy}>Search</Button>
          </div>
          <details class="more" open={wide}>
            <summary>Filter, sort and facets</summary>
          <div class="grid-fields">
            <Text label="Filter" value={query.filter} set={(filter) => set({ filter })} mono placeholder={names("filterableAttributes")[0] ? `${names("filterableAttributes")[0]} = …` : ""} hint={names("filterableAttributes").length ? `Filterable: ${names("filterableAttributes").join(", ")}` : "Nothing is filterable"} />
            <Text label="Sort, with commas" value={query.sort} set={(sort) => set({ sort })} mono placeholder={names("sortableAttributes")[0] ? `${names("sortableAttributes")[0]}:asc` : ""} list={names("sortableAttributes").flatMap((name) => [`${name}:asc`, `${name}:desc`])} hint={names("sortableAttributes").length ? `Sortable: ${names("sortableAttributes").join(", ")}` : "Nothing is sortable"} />
            <Text label="Facets, with commas" value={query.facets} set={(facets) => set({ facets })} mono list={["*", ...names("filterableAttributes")]} />
            <Text label="Hits" type="number" value={query.limit} set={(limit) => set({ limit })} />
            <Text label="More members, as JSON" value={query.extra} set={(extra) => set({ extra })} mono error={fault} placeholder='{"matchingStrategy": "all"}' />
          </div>
          </details>
        </form>
      </Card>
      {busy && !outcomes.length && <Loading what="the answer" />}
      <div class={outcomes.length > 1 ? "columns even" : "stack wide-gap"}>
        {outcomes.map((outcome) => (
          <Shown
            key={outcome.uid}
            outcome={outcome}
            beside={outcomes.find((one) => one !== outcome)}
            images={images}
            setImages={setImages}
            narrow={(field, value) => {
              const more = `${field} = ${JSON.stringify(value)}`;
              setQuery({ ...query, filter: query.filter ? `(${query.filter}) AND ${more}` : more });
            }}
          />
        ))}
      </div>
    </div>
  );
}

function Shown(props: { outcome: Outcome; beside: Outcome | undefined; images: boolean; setImages: (shown: boolean) => void; narrow: (field: string, value: string) => void }) {
  const { explained, error, uid } = props.outcome;
  if (error) return <Refused error={error} what={`${uid} refused the search`} />;
  if (!explained) return null;
  const { result, execution, plan } = explained;
  const total = result?.estimatedTotalHits ?? result?.totalHits;
  return (
    <div class="stack wide-gap">
      <p class="result-line" role="status">
        <b>{uid}</b> {number(total)} hits in {number(result?.processingTimeMs)} ms from {plural(new Set(Object.values(plan.nodes)).size, "node")}
        {execution && execution.missingShards.length > 0 && <Badge tone="bad">{plural(execution.missingShards.length, "shard")} missing</Badge>}
      </p>
      {explained.warnings.map((warning) => (
        <Notice key={warning.code + warning.message} tone={warning.code === "emptyQuery" ? "info" : "warn"} title={warning.code}>
          {warning.message}
        </Notice>
      ))}
      <div class={props.beside ? "stack wide-gap" : "columns split"}>
      {result && <HitList result={result} beside={props.beside?.explained?.result} images={props.images} setImages={props.setImages} />}
      <div class="stack wide-gap">
      <Card title="Where the time went">
        {execution ? <Legs explained={explained} /> : <p class="hint">The answer was shared with an equal search.</p>}
      </Card>
      <Card title="Shards to nodes">
        <PlanGraph explained={explained} />
      </Card>
      {result?.facetDistribution && Object.keys(result.facetDistribution).length > 0 && <Facets result={result} narrow={props.narrow} />}
      </div>
      </div>
    </div>
  );
}

function Legs({ explained }: { explained: Explained }) {
  const { execution, result } = explained;
  const legs = execution!.legs;
  const most = Math.max(1, result?.processingTimeMs ?? 0, ...legs.map((leg) => leg.milliseconds));
  const slowest = Math.max(0, ...legs.map((leg) => leg.milliseconds));
  return (
    <div class="stack">
      <ul class="legs">
        {legs.map((leg, at) => (
          <li key={at}>
            <span class="mono">{leg.node}</span>
            <span class="leg-bar" aria-hidden="true">
              <i style={{ width: `${Math.max(1, (leg.milliseconds / most) * 100)}%` }} class={leg.status !== null && leg.status >= 400 ? "bad" : leg.milliseconds === slowest && legs.length > 1 ? "slow" : ""} />
            </span>
            <span class="right">{leg.milliseconds.toFixed(1)} ms</span>
            <span class="hint">{plural(leg.shards.length, "shard")}{leg.status !== null && leg.status >= 400 ? `, answered ${leg.status}` : ""}</span>
          </li>
        ))}
      </ul>
      <p class="hint">
        The slowest node sets the pace. {plural(execution!.hedges, "hedge")}, {plural(execution!.retries, "retry", "retries")}
        {explained.plan.estimatedP95Ms !== null && `; usually (p95) ${short(explained.plan.estimatedP95Ms)} ms`}
        {explained.plan.hedge.armed ? `; another copy is asked after ${short(explained.plan.hedge.triggerMs)} ms` : "; no hedge is armed"}
        {explained.plan.coalescing ? "; equal searches share an answer" : ""}.
      </p>
    </div>
  );
}

/** The plan as lines from shards to the nodes that are asked for them. */
function PlanGraph({ explained }: { explained: Explained }) {
  const { plan } = explained;
  const byNode = new Map<string, string[]>();
  for (const [shard, node] of Object.entries(plan.nodes)) byNode.set(node, [...(byNode.get(node) ?? []), shard]);
  const nodes = [...byNode.keys()].sort();
  const shards = Object.keys(plan.nodes).sort((one, other) => Number(one) - Number(other));
  const height = Math.max(90, nodes.length * 44);
  const width = 560;
  const x = (shard: string) => 14 + (shards.indexOf(shard) * (width - 28)) / Math.max(1, shards.length - 1);
  const nodeX = (node: string) => (width * (nodes.indexOf(node) + 0.5)) / nodes.length;
  return (
    <div class="stack">
      <svg class="graph" viewBox={`0 0 ${width} ${height}`} role="img" aria-label={`${plural(shards.length, "shard")} are asked of ${plural(nodes.length, "node")}: ${nodes.map((node) => `${node} for ${byNode.get(node)!.length}`).join(", ")}`}>
        {shards.map((shard) => {
          const node = plan.nodes[shard]!;
          return <path key={shard} class={`edge tone-${nodes.indexOf(node) % 6}`} d={`M${x(shard)} 16C${x(shard)} ${height * 0.55} ${nodeX(node)} ${height * 0.45} ${nodeX(node)} ${height - 34}`} />;
        })}
        {shards.map((shard) => (
          <circle key={shard} class={`spot tone-${nodes.indexOf(plan.nodes[shard]!) % 6}`} cx={x(shard)} cy="12" r={shards.length > 100 ? 2 : 4}>
            <title>{`Shard ${shard}: ${plan.nodes[shard]}`}</title>
          </circle>
        ))}
        {nodes.map((node) => (
          <g key={node}>
            <rect class="node-box" x={nodeX(node) - 46} y={height - 34} width="92" height="30" rx="6" />
            <text x={nodeX(node)} y={height - 14} text-anchor="middle">{`${node.slice(0, 9)} · ${byNode.get(node)!.length}`}</text>
          </g>
        ))}
      </svg>
      <dl class="facts">
        <dt>Shards asked</dt>
        <dd>{plural(plan.targetShards.length, "shard")}{plan.narrowed ? ", narrowed" : ""}</dd>
        <dt>Why</dt>
        <dd>{plan.narrowingReason}</dd>
        <dt>Group</dt>
        <dd>{plan.group ? `${plan.group.id} (${plan.group.reason})` : "–"}</dd>
        <dt>Hits asked of each node</dt>
        <dd>{number(plan.legDepth)}</dd>
        <dt>Settings version</dt>
        <dd>{plan.settingsVersion}{plan.broadcastPending ? ", a change is under way" : ""}</dd>
      </dl>
    </div>
  );
}

function Facets({ result, narrow }: { result: Hits; narrow: (field: string, value: string) => void }) {
  return (
    <Card title="Facets">
      <div class="facets">
        {Object.entries(result.facetDistribution!).map(([field, values]) => {
          const rows = Object.entries(values).sort(([, one], [, other]) => other - one).slice(0, 12);
          const most = Math.max(1, ...rows.map(([, count]) => count));
          return (
            <section key={field}>
              <h3 class="mono">{field}</h3>
              {result.facetStats?.[field] && <p class="hint">{result.facetStats[field].min} to {result.facetStats[field].max}</p>}
              <ul>
                {rows.map(([value, count]) => (
                  <li key={value}>
                    <button type="button" class="facet" title="Add to the filter" onClick={() => narrow(field, value)}>
                      <i aria-hidden="true" style={{ width: `${(count / most) * 100}%` }} />
                      <span>{value}</span>
                      <b>{short(count)}</b>
                    </button>
                  </li>
                ))}
              </ul>
            </section>
          );
        })}
      </div>
    </Card>
  );
}

/** The hits; beside another list each says where it stands there. */
function HitList(props: { result: Hits; beside: Hits | undefined; images: boolean; setImages: (shown: boolean) => void }) {
  const [raw, setRaw] = useState(false);
  const { hits } = props.result;
  const others = props.beside?.hits.map((hit) => JSON.stringify(Object.values(hit)[0]));
  const rank = (hit: Record<string, unknown>) => others?.indexOf(JSON.stringify(Object.values(hit)[0]));
  const names = [...new Set(hits.flatMap((hit) => Object.keys(hit)))].filter((name) => !name.startsWith("_")).slice(0, 6);
  return (
    <Card title="Hits" flush aside={<><Check label="Show images" checked={props.images} set={props.setImages} /><Check label="As JSON" checked={raw} set={setRaw} /></>}>
      {!hits.length && <Empty title="No hit">Take away words or filters.</Empty>}
      {raw && hits.length > 0 && <div class="pad"><Json value={props.result} /></div>}
      {!raw && hits.length > 0 && (
        <Table<{ hit: Record<string, unknown>; at: number }>
          label="Hits"
          rows={hits.map((hit, at) => ({ hit, at }))}
          of={(row) => row.at}
          columns={[
            {
              name: "#",
              right: true,
              show: ({ hit, at }) => {
                const there = rank(hit);
                if (there === undefined) return at + 1;
                return <span>{at + 1} {there < 0 ? <Badge tone="warn">only here</Badge> : there === at ? "" : <Badge>{there + 1} there</Badge>}</span>;
              },
            },
            ...names.map((name, column) => ({ name, minor: column > 1, show: ({ hit }: { hit: Record<string, unknown> }) => <Cell value={hit[name]} images={props.images} /> })),
          ]}
        />
      )}
    </Card>
  );
}
