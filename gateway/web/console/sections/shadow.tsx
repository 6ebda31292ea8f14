// Shadow: where another cluster answered the same searches otherwise.
import { useState } from "preact/hooks";
import { query } from "../api";
import { useRead } from "../hooks";
import type { SectionProps } from "../sections";
import { plural } from "../text";
import { Absent, Badge, Button, Card, Choice, Dialog, Empty, Head, Json, Loading, Refused, Table, Text } from "../ui";
import { Diff } from "./indexes";

interface Difference {
  id: number;
  target: string;
  kind: string;
  index: string;
  query: unknown;
  primary: unknown;
  shadow: unknown;
}
const TONES: Record<string, "bad" | "warn" | "info" | "plain"> = { error: "bad", hits: "warn", ranking: "info", latency: "plain" };

export default function Shadow(_: SectionProps) {
  const [kind, setKind] = useState("");
  const [target, setTarget] = useState("");
  const [shown, setShown] = useState<Difference | null>(null);
  const found = useRead<{ results: Difference[] }>(`/_miroir/shadow/diff${query({ limit: 200, kind, target })}`);
  if (found.error?.absent) return <><Head title="Shadow" /><Absent what="Shadow clusters" option="--shadow name=…,url=…" /></>;
  const rows = [...(found.data?.results ?? [])].reverse();
  const targets = [...new Set(rows.map((one) => one.target))];
  return (
    <div class="stack wide-gap">
      <Head title="Shadow" lead="Searches that a second cluster got too, after clients had their answer, and answered otherwise">
        <Button onClick={found.reload}>Read again</Button>
      </Head>
      <div class="row wrap filters">
        <Choice label="Kind" value={kind} set={setKind} options={[["", "any difference"], "hits", "ranking", "latency", "error"]} />
        <Text label="Cluster" value={target} set={setTarget} list={targets} placeholder="any" />
      </div>
      <Refused error={found.error} />
      {!found.data && !found.error && <Loading what="differences" />}
      {found.data && !rows.length && <Empty title="No difference is known">Either the clusters agree, or nothing is shadowed: <code>--shadow name=…,url=…,sample=0.05</code></Empty>}
      {rows.length > 0 && (
        <Card title={plural(rows.length, "difference")} flush>
          <Table<Difference>
            label="Differences"
            rows={rows}
            of={(one) => one.id}
            open={setShown}
            openLabel={(one) => `Difference ${one.id}`}
            columns={[
              { name: "#", show: (one) => <span class="mono">{one.id}</span> },
              { name: "Kind", show: (one) => <Badge tone={TONES[one.kind] ?? "plain"}>{one.kind}</Badge> },
              { name: "Cluster", show: (one) => one.target, minor: true },
              { name: "Index", show: (one) => one.index },
              { name: "Search", show: (one) => <span class="mono">{JSON.stringify(one.query).slice(0, 80)}</span>, minor: true },
            ]}
          />
        </Card>
      )}
      {shown && (
        <Dialog title={`Difference ${shown.id}: ${shown.kind}`} close={() => setShown(null)} wide>
          <div class="stack">
            <h3>The search, in {shown.index}</h3>
            <Json value={shown.query} />
            <h3>This cluster (removed) and {shown.target} (added)</h3>
            <Diff before={shown.primary} after={shown.shadow} />
          </div>
        </Dialog>
      )}
    </div>
  );
}
