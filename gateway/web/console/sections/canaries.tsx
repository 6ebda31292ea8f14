// Canaries: searches that are run on schedule, and whether they found what they should.
import { useState } from "preact/hooks";
import { part, post, remove } from "../api";
import { useAct, useRead } from "../hooks";
import { changed } from "../live";
import { useIndexes } from "../picker";
import type { SectionProps } from "../sections";
import { ago, clock } from "../text";
import { Absent, Area, Badge, Button, Card, Choice, Confirm, Dialog, Empty, Head, Json, Loading, Notice, Refused, say, Text } from "../ui";

interface Run {
  at: string;
  passed: boolean;
  milliseconds: number;
  failures: { type: string; expected: unknown; observed: unknown }[];
}
interface Canary {
  name: string;
  index: string;
  runs: Run[];
}

const ASSERTIONS = `[
  { "type": "min_hits", "value": 1 },
  { "type": "max_p95_ms", "value": 200 }
]`;

export default function Canaries({ readOnly }: SectionProps) {
  const status = useRead<{ results: Canary[] }>("/_miroir/canaries/status", ["canaries", "canary_runs", "tasks"]);
  const [making, setMaking] = useState(false);
  const [capturing, setCapturing] = useState(false);
  const [shown, setShown] = useState<{ canary: Canary; run: Run } | null>(null);
  const [deleting, setDeleting] = useState<string | null>(null);
  const { busy, error, run } = useAct();
  if (status.error?.absent) return <><Head title="Canaries" /><Absent what="Canaries" /></>;
  const rows = status.data?.results ?? [];
  const failing = rows.filter((canary) => canary.runs[canary.runs.length - 1]?.passed === false);
  return (
    <div class="stack wide-gap">
      <Head title="Canaries" lead="Searches that are run again and again, and what they must find">
        <Button onClick={status.reload}>Read again</Button>
        {!readOnly && (
          <>
            <Button onClick={() => setCapturing(true)}>Capture from traffic</Button>
            <Button kind="primary" icon="plus" onClick={() => setMaking(true)}>Make a canary</Button>
          </>
        )}
      </Head>
      <Refused error={status.error} />
      {!status.data && !status.error && <Loading what="canaries" />}
      {failing.length > 0 && <Notice tone="bad" title={`${failing.length} of ${rows.length} fail now`}>{failing.map((canary) => canary.name).join(", ")}</Notice>}
      {status.data && !rows.length && <Empty title="There is no canary yet">A canary tells you that search results went wrong before your users do.</Empty>}
      {rows.length > 0 && (
        <Card title="The last hundred runs of each">
          <ul class="heat">
            {rows.map((canary) => (
              <li key={canary.name}>
                <div class="row between">
                  <span>
                    <b>{canary.name}</b> <span class="hint">{canary.index}</span>
                  </span>
                  <span class="row">
                    {canary.runs.length ? (
                      <Badge tone={canary.runs[canary.runs.length - 1]!.passed ? "good" : "bad"}>
                        {canary.runs[canary.runs.length - 1]!.passed ? "passes" : "fails"}, {ago(canary.runs[canary.runs.length - 1]!.at)}
                      </Badge>
                    ) : (
                      <Badge>not run yet</Badge>
                    )}
                    {!readOnly && <Button kind="quiet" aria-label={`Delete ${canary.name}`} onClick={() => setDeleting(canary.name)}>Delete</Button>}
                  </span>
                </div>
                <div class="heat-row">
                  {canary.runs.map((one, at) => (
                    <button
                      key={at}
                      type="button"
                      class={`heat-cell ${one.passed ? "good" : "bad"}`}
                      aria-label={`${canary.name}, ${clock(one.at)}: ${one.passed ? "passed" : "failed"} in ${one.milliseconds} ms`}
                      title={`${clock(one.at)}: ${one.passed ? "passed" : "failed"}, ${one.milliseconds} ms`}
                      onClick={() => setShown({ canary, run: one })}
                    />
                  ))}
                </div>
              </li>
            ))}
          </ul>
        </Card>
      )}
      {shown && (
        <Dialog title={`${shown.canary.name}, ${clock(shown.run.at)}`} close={() => setShown(null)} side>
          <div class="stack">
            <p>
              <Badge tone={shown.run.passed ? "good" : "bad"}>{shown.run.passed ? "passed" : "failed"}</Badge> in {shown.run.milliseconds} ms
            </p>
            {shown.run.failures.map((failure, at) => (
              <Notice key={at} tone="bad" title={failure.type}>
                expected <Json value={failure.expected} />, observed <Json value={failure.observed} />
              </Notice>
            ))}
          </div>
        </Dialog>
      )}
      {making && <Make close={() => setMaking(false)} done={status.reload} />}
      {capturing && <Capture close={() => setCapturing(false)} done={status.reload} />}
      {deleting && (
        <Confirm title={`Delete ${deleting}`} name={deleting} act="Delete the canary" busy={busy} error={error} close={() => setDeleting(null)} run={() => run(async () => { await remove(`/_miroir/canaries/${part(deleting)}`); changed("canaries"); status.reload(); })}>
          <p>The canary and the history of its runs go.</p>
        </Confirm>
      )}
    </div>
  );
}

function Make({ close, done }: { close: () => void; done: () => void }) {
  const { all } = useIndexes(undefined);
  const [name, setName] = useState("");
  const [index, setIndex] = useState("");
  const [interval, setInterval] = useState("60");
  const [query, setQuery] = useState('{ "q": "" }');
  const [assertions, setAssertions] = useState(ASSERTIONS);
  const { busy, error, run } = useAct();
  return (
    <Dialog title="Make a canary" close={close} wide>
      <form
        class="stack"
        onSubmit={async (event) => {
          event.preventDefault();
          const made = await run(async () => {
            await post("/_miroir/canaries", { name, index: index || all[0], intervalSeconds: Number(interval), query: JSON.parse(query), assertions: JSON.parse(assertions) });
          });
          if (made) {
            done();
            close();
          }
        }}
      >
        <div class="grid-fields">
          <Text label="Name" value={name} set={setName} autofocus mono required />
          <Choice label="Index" value={index || all[0] || ""} set={setIndex} options={all} />
          <Text label="Seconds between runs" type="number" value={interval} set={setInterval} />
        </div>
        <Area label="Search" value={query} set={setQuery} rows={3} />
        <Area label="What it must find" value={assertions} set={setAssertions} rows={6} hint="top_hit_id, top_k_contains, min_hits, max_p95_ms, settings_version_at_least, must_not_contain_id" />
        <Refused error={error} />
        <div class="row end">
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" type="submit" busy={busy} disabled={!name}>Make it</Button>
        </div>
      </form>
    </Dialog>
  );
}

function Capture({ close, done }: { close: () => void; done: () => void }) {
  const { all } = useIndexes(undefined);
  const [index, setIndex] = useState("");
  const [count, setCount] = useState("5");
  const [prefix, setPrefix] = useState("captured-");
  const { busy, error, run } = useAct();
  return (
    <Dialog title="Capture canaries from traffic" close={close}>
      <form
        class="stack"
        onSubmit={async (event) => {
          event.preventDefault();
          const made = await run(async () => {
            await post("/_miroir/canaries/capture", { index: index || all[0], count: Number(count), namePrefix: prefix });
            say("The next searches of clients become canaries.");
          });
          if (made) {
            done();
            close();
          }
        }}
      >
        <p>The next searches that clients make become canaries, with the top hit that they get now.</p>
        <Choice label="Index" value={index || all[0] || ""} set={setIndex} options={all} />
        <Text label="How many" type="number" value={count} set={setCount} />
        <Text label="Their names begin with" value={prefix} set={setPrefix} mono />
        <Refused error={error} />
        <div class="row end">
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" type="submit" busy={busy}>Capture</Button>
        </div>
      </form>
    </Dialog>
  );
}
