// Rollover: indexes that follow each other by age, size or count, behind one name to write and one to read.
import { useState } from "preact/hooks";
import { part, post, remove } from "../api";
import { useAct, useRead } from "../hooks";
import { changed } from "../live";
import type { SectionProps } from "../sections";
import { Absent, Area, Button, Card, Confirm, Dialog, Empty, Head, Json, Loading, Refused, say } from "../ui";

type Policy = Record<string, unknown> & {
  name: string;
  writeAlias: string;
  readAlias: string;
  pattern: string;
  triggers: { maxDocs?: number; maxAge?: string; maxSizeGb?: number };
  retention: { keepIndexes?: number };
};
const PATH = "/_miroir/rollover-policies";
const EXAMPLE = `{
  "name": "logs",
  "writeAlias": "logs-write",
  "readAlias": "logs",
  "pattern": "logs-{YYYY-MM-DD}",
  "triggers": { "maxDocs": 10000000, "maxAge": "7d", "maxSizeGb": 50 },
  "retention": { "keepIndexes": 30 },
  "template": { "primaryKey": "id", "settings": {} }
}`;

export default function Rollover({ readOnly }: SectionProps) {
  const policies = useRead<{ results: Policy[] }>(PATH, ["rollover_policies", "rollover_checks", "aliases", "indexes"]);
  const [making, setMaking] = useState(false);
  const [deleting, setDeleting] = useState<string | null>(null);
  const [running, setRunning] = useState<string | null>(null);
  const { busy, error, run } = useAct();
  if (policies.error?.absent) return <><Head title="Rollover" /><Absent what="Rollover policies" /></>;
  return (
    <div class="stack wide-gap">
      <Head title="Rollover" lead="A new index begins when the old one is old, large or full; the oldest go">
        {!readOnly && <Button kind="primary" icon="plus" onClick={() => setMaking(true)}>Make a policy</Button>}
      </Head>
      <Refused error={policies.error} />
      {!policies.data && !policies.error && <Loading what="policies" />}
      {policies.data && !policies.data.results.length && <Empty title="There is no policy yet">For logs and events: one name to write, one to read, and indexes that follow each other behind them.</Empty>}
      <div class="columns even">
        {policies.data?.results.map((policy) => (
          <Card key={policy.name} title={policy.name}>
            <div class="stack">
              <dl class="facts">
                <dt>Written as</dt>
                <dd class="mono">{policy.writeAlias}</dd>
                <dt>Read as</dt>
                <dd class="mono">{policy.readAlias}</dd>
                <dt>Named</dt>
                <dd class="mono">{policy.pattern}</dd>
                <dt>Rolls over at</dt>
                <dd>
                  {[policy.triggers?.maxDocs && `${policy.triggers.maxDocs} documents`, policy.triggers?.maxAge, policy.triggers?.maxSizeGb && `${policy.triggers.maxSizeGb} GB`].filter(Boolean).join(" or ") || "–"}
                </dd>
                <dt>Keeps</dt>
                <dd>{policy.retention?.keepIndexes ? `${policy.retention.keepIndexes} indexes` : "all"}</dd>
              </dl>
              <details>
                <summary>All of it</summary>
                <Json value={policy} />
              </details>
              {!readOnly && (
                <div class="row end">
                  <Button kind="quiet" aria-label={`Delete ${policy.name}`} onClick={() => setDeleting(policy.name)}>Delete</Button>
                  <Button aria-label={`What would it do now? ${policy.name}`} onClick={() => setRunning(policy.name)}>What would it do now?</Button>
                </div>
              )}
            </div>
          </Card>
        ))}
      </div>
      {making && <Make close={() => setMaking(false)} done={policies.reload} />}
      {running && <Run name={running} close={() => setRunning(null)} done={policies.reload} />}
      {deleting && (
        <Confirm title={`Delete the policy ${deleting}`} name={deleting} act="Delete the policy" busy={busy} error={error} close={() => setDeleting(null)} run={() => run(async () => { await remove(`${PATH}/${part(deleting)}`); changed("rollover_policies"); policies.reload(); })}>
          <p>Its indexes and aliases stay as they are; nothing rolls over any more.</p>
        </Confirm>
      )}
    </div>
  );
}

function Make({ close, done }: { close: () => void; done: () => void }) {
  const [text, setText] = useState(EXAMPLE);
  const { busy, error, run } = useAct();
  return (
    <Dialog title="Make a policy" close={close} wide>
      <div class="stack">
        <Area label="The policy, as JSON" value={text} set={setText} rows={12} />
        <Refused error={error} />
        <div class="row end">
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" busy={busy} onClick={async () => { if (await run(async () => post(PATH, JSON.parse(text)))) { done(); close(); } }}>Make it</Button>
        </div>
      </div>
    </Dialog>
  );
}

function Run({ name, close, done }: { name: string; close: () => void; done: () => void }) {
  const [plan, setPlan] = useState<unknown>(undefined);
  const { busy, error, run } = useAct();
  const path = `${PATH}/${part(name)}/run`;
  if (plan === undefined && !busy && !error) void run(async () => setPlan(await post(path, { dryRun: true })));
  return (
    <Dialog title={`Run ${name}`} close={close}>
      <div class="stack">
        {busy && <Loading what="the plan" />}
        {plan !== undefined && <Json value={plan} />}
        <Refused error={error} />
        <div class="row end">
          <Button onClick={close}>Close</Button>
          <Button kind="primary" busy={busy} disabled={plan === undefined} onClick={async () => { if (await run(async () => post(path, {}))) { say("Done."); done(); close(); } }}>Do it now</Button>
        </div>
      </div>
    </Dialog>
  );
}
