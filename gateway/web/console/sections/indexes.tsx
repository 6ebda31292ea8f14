// Indexes: what they hold, their settings with a diff before they change, resharding, documents that end, deletion.
import { useMemo, useState } from "preact/hooks";
import { ask, part, patch, post, remove, root } from "../api";
import { useAct, useRead } from "../hooks";
import { ended, news } from "../follow";
import { changed } from "../live";
import type { SectionProps } from "../sections";
import { canonical, differences, fingerprint, lines, number, plural } from "../text";
import type { Settings, Stats, Topology, TopologyIndex } from "../types";
import { Area, Badge, Button, Card, Check, Confirm, Dialog, Empty, Head, Json, Loading, Notice, Refused, say, Table, Tabs, Text } from "../ui";

export default function Indexes({ rest, readOnly }: SectionProps) {
  const uid = rest[0];
  if (uid && uid !== "+new") return <One key={uid} uid={uid} tab={rest[1] ?? "settings"} readOnly={readOnly} />;
  return <List creating={uid === "+new"} readOnly={readOnly} />;
}

function List({ creating, readOnly }: { creating: boolean; readOnly: boolean }) {
  const topology = useRead<Topology>("/_miroir/topology", ["indexes"]);
  const stats = useRead<Stats>("/stats", ["tasks", "indexes"]);
  const [making, setMaking] = useState(creating);
  const rows = topology.data?.indexes ?? [];
  return (
    <div class="stack wide-gap">
      <Head title="Indexes" lead={`${plural(rows.length, "index", "indexes")}, each spread over all nodes`}>
        {!readOnly && (
          <Button kind="primary" icon="plus" onClick={() => setMaking(true)}>
            Create an index
          </Button>
        )}
      </Head>
      <Refused error={topology.error} />
      {!topology.data && !topology.error && <Loading what="the indexes" />}
      {topology.data && !rows.length && (
        <Card title="First steps">
          <Empty title="There is no index yet" act={!readOnly && <Button kind="primary" icon="plus" onClick={() => setMaking(true)}>Create the first one</Button>}>
            An index holds documents of one kind. Its shards are placed on the nodes by themselves.
          </Empty>
        </Card>
      )}
      {rows.length > 0 && (
        <Card flush>
          <Table<TopologyIndex>
            label="Indexes"
            rows={rows}
            of={(index) => index.uid}
            open={(index) => (location.hash = `#/indexes/${part(index.uid)}`)}
            openLabel={(index) => `Open ${index.uid}`}
            columns={[
              { name: "Index", show: (index) => <b>{index.uid}</b> },
              { name: "Documents", show: (index) => number(stats.data?.indexes[index.uid]?.numberOfDocuments), right: true },
              { name: "Primary key", show: (index) => <span class="mono">{index.primaryKey ?? "–"}</span> },
              { name: "Fields", show: (index) => number(Object.keys(stats.data?.indexes[index.uid]?.fieldDistribution ?? {}).length), right: true, minor: true },
              { name: "Shards", show: (index) => index.shards, right: true, minor: true },
              { name: "Settings", show: (index) => `version ${index.settingsVersion}`, right: true, minor: true },
              { name: "Activity", show: (index) => (stats.data?.indexes[index.uid]?.isIndexing ? <Badge tone="info">indexing</Badge> : null) },
            ]}
          />
        </Card>
      )}
      {making && <Create close={() => setMaking(false)} />}
    </div>
  );
}

function Create({ close }: { close: () => void }) {
  const [uid, setUid] = useState("");
  const [key, setKey] = useState("");
  const { busy, error, run } = useAct();
  return (
    <Dialog title="Create an index" close={close}>
      <form
        class="stack"
        onSubmit={async (event) => {
          event.preventDefault();
          const made = await run(async () => {
            const task = await post<{ taskUid: number }>("/indexes", { uid, primaryKey: key || null });
            await ended(task.taskUid);
            changed("indexes", "tasks");
          });
          if (made) {
            say(`Index ${uid} is there.`);
            close();
            location.hash = `#/documents/${part(uid)}`;
          }
        }}
      >
        <Text label="Name" value={uid} set={setUid} autofocus mono required hint="Letters, digits, - and _" />
        <Text label="Primary key" value={key} set={setKey} mono hint="The field that identifies a document. Left empty, it is found in the first documents." />
        <Refused error={error} />
        <div class="row end">
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" type="submit" busy={busy} disabled={!uid}>
            Create
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

const TABS: [string, string][] = [
  ["settings", "Settings"],
  ["page", "Search page"],
  ["reshard", "Shards"],
  ["ttl", "Expiry"],
  ["fields", "Fields"],
  ["delete", "Delete"],
];

function One({ uid, tab, readOnly }: { uid: string; tab: string; readOnly: boolean }) {
  const topology = useRead<Topology>("/_miroir/topology", ["indexes"]);
  const stats = useRead<Stats>("/stats", ["tasks", "indexes"]);
  const index = topology.data?.indexes.find((one) => one.uid === uid);
  const known = stats.data?.indexes[uid];
  return (
    <div class="stack wide-gap">
      <Head
        title={uid}
        lead={
          index
            ? `${plural(known?.numberOfDocuments ?? 0, "document")} in ${plural(index.shards, "shard")}; primary key ${index.primaryKey ?? "not known yet"}; settings version ${index.settingsVersion}`
            : "Index"
        }
      >
        <a class="button" href={`#/documents/${part(uid)}`}>Documents</a>
        <a class="button" href={`#/sandbox/${part(uid)}`}>Search</a>
      </Head>
      <nav class="crumbs" aria-label="Where">
        <a href="#/indexes">Indexes</a> / {uid}
      </nav>
      {topology.data && !index ? (
        <Empty title={`There is no index ${uid}`} act={<a class="button" href="#/indexes">All indexes</a>} />
      ) : (
        <>
          <Tabs label="About the index" tabs={TABS} chosen={tab} choose={(next) => (location.hash = `#/indexes/${part(uid)}/${next}`)} />
          <div role="tabpanel" aria-label={tab}>
            {tab === "settings" && <SettingsTab uid={uid} readOnly={readOnly} version={index?.settingsVersion ?? 0} />}
            {tab === "page" && <SearchPage uid={uid} readOnly={readOnly} />}
            {tab === "reshard" && index && <Reshard index={index} readOnly={readOnly} />}
            {tab === "ttl" && <Ttl uid={uid} readOnly={readOnly} />}
            {tab === "fields" && <Fields distribution={known?.fieldDistribution ?? {}} documents={known?.numberOfDocuments ?? 0} />}
            {tab === "delete" && <Delete uid={uid} readOnly={readOnly} documents={known?.numberOfDocuments ?? 0} />}
          </div>
        </>
      )}
    </div>
  );
}

/** Settings that are lists of names, in the order in which they are shown. */
const LISTS: [string, string, string][] = [
  ["searchableAttributes", "Searchable", "What a search looks in; the first matter most. * stands for all."],
  ["filterableAttributes", "Filterable", "What filters and facets may name."],
  ["sortableAttributes", "Sortable", "What a search may be sorted by."],
  ["displayedAttributes", "Displayed", "What answers show. * stands for all."],
  ["rankingRules", "Ranking rules", "What decides which hit comes first, in this order."],
  ["stopWords", "Stop words", "Words that a search passes over."],
];

const isList = (value: unknown): value is string[] => Array.isArray(value) && value.every((item) => typeof item === "string");

function SettingsTab({ uid, readOnly, version }: { uid: string; readOnly: boolean; version: number }) {
  const stored = useRead<Settings>(`/indexes/${part(uid)}/settings`, ["indexes"]);
  const [draft, setDraft] = useState<Settings | null>(null);
  const [broken, setBroken] = useState<Record<string, string>>({});
  const [reviewing, setReviewing] = useState(false);
  const current = stored.data;
  const shown = draft ?? current;
  const names = useMemo(() => (current && shown ? differences(current, shown) : []), [current, shown]);
  if (!current || !shown) return stored.error ? <Refused error={stored.error} /> : <Loading what="the settings" />;
  const set = (name: string, value: unknown) => setDraft({ ...shown, [name]: value });
  const others = Object.keys(shown).filter((name) => !LISTS.some(([list]) => list === name && isList(shown[name])));
  const faults = Object.values(broken).filter(Boolean).length;
  return (
    <div class="stack">
      <div class="columns even">
        {LISTS.filter(([name]) => isList(shown[name])).map(([name, label, hint]) => (
          <Card key={name} title={label} aside={names.includes(name) && <Badge tone="warn">changed</Badge>}>
            <p class="hint">{hint}</p>
            <Names label={label} values={shown[name] as string[]} set={(value) => set(name, value)} fixed={readOnly} ordered={name === "searchableAttributes" || name === "rankingRules"} />
          </Card>
        ))}
      </div>
      <Card title="All other settings">
        <div class="columns even">
          {others.map((name) => (
            <JsonSetting
              key={name}
              name={name}
              value={shown[name]}
              changed={names.includes(name)}
              fault={(text) => setBroken((known) => ({ ...known, [name]: text }))}
              set={(value) => set(name, value)}
            />
          ))}
        </div>
      </Card>
      {!readOnly && (names.length > 0 || faults > 0) && (
        <div class="commit" role="status">
          <span>
            {faults ? `${plural(faults, "setting")} cannot be read` : `${plural(names.length, "setting")} changed, not saved`}
          </span>
          <span class="row">
            <Button onClick={() => { setDraft(null); setBroken({}); }}>Discard</Button>
            <Button kind="primary" disabled={!names.length || faults > 0} onClick={() => setReviewing(true)}>
              Review and save
            </Button>
          </span>
        </div>
      )}
      {reviewing && (
        <Review
          uid={uid}
          before={current}
          after={shown}
          names={names}
          version={version}
          close={() => setReviewing(false)}
          saved={() => {
            setDraft(null);
            stored.reload();
          }}
        />
      )}
    </div>
  );
}

/** A list of names as chips: added, removed, and moved by keyboard too. */
function Names(props: { label: string; values: string[]; set: (values: string[]) => void; fixed: boolean; ordered: boolean }) {
  const [typed, setTyped] = useState("");
  const { values } = props;
  const move = (at: number, by: number) => {
    const next = [...values];
    const [one] = next.splice(at, 1);
    next.splice(at + by, 0, one!);
    props.set(next);
  };
  return (
    <div class="stack">
      <ul class="chips">
        {values.map((value, at) => (
          <li key={value} class="chip">
            {props.ordered && <span class="faint">{at + 1}</span>}
            <span class="mono">{value}</span>
            {!props.fixed && (
              <>
                {props.ordered && at > 0 && (
                  <button type="button" aria-label={`Move ${value} up`} onClick={() => move(at, -1)}>↑</button>
                )}
                {props.ordered && at < values.length - 1 && (
                  <button type="button" aria-label={`Move ${value} down`} onClick={() => move(at, 1)}>↓</button>
                )}
                <button type="button" aria-label={`Remove ${value}`} onClick={() => props.set(values.filter((other) => other !== value))}>×</button>
              </>
            )}
          </li>
        ))}
        {!values.length && <li class="faint">none</li>}
      </ul>
      {!props.fixed && (
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            const name = typed.trim();
            if (name && !values.includes(name)) props.set([...values, name]);
            setTyped("");
          }}
        >
          <input class="input mono" aria-label={`Add to ${props.label}`} placeholder="Add a name" value={typed} spellcheck={false} onInput={(event) => setTyped(event.currentTarget.value)} />
          <Button type="submit" disabled={!typed.trim()}>Add</Button>
        </form>
      )}
    </div>
  );
}

function JsonSetting(props: { name: string; value: unknown; changed: boolean; set: (value: unknown) => void; fault: (text: string) => void }) {
  const given = JSON.stringify(props.value, null, 2) ?? "null";
  const [text, setText] = useState(given);
  const [of, setOf] = useState(canonical(props.value));
  const [fault, setFault] = useState("");
  // The stored value has changed under this field.
  if (canonical(props.value) !== of) {
    setOf(canonical(props.value));
    if (!fault) setText(given);
  }
  return (
    <Area
      label={`${props.name}${props.changed ? " (changed)" : ""}`}
      value={text}
      rows={Math.min(8, Math.max(1, text.split("\n").length))}
      error={fault}
      set={(next) => {
        setText(next);
        try {
          const value: unknown = JSON.parse(next);
          setFault("");
          props.fault("");
          setOf(canonical(value));
          props.set(value);
        } catch (error) {
          setFault(`This is not JSON: ${(error as Error).message}`);
          props.fault(next);
        }
      }}
    />
  );
}

/** The diff and the fingerprint of a change, before it goes to all nodes in two phases. */
function Review(props: { uid: string; before: Settings; after: Settings; names: string[]; version: number; close: () => void; saved: () => void }) {
  const { busy, error, run } = useAct();
  const [phase, setPhase] = useState("");
  const changes = Object.fromEntries(props.names.map((name) => [name, props.after[name] ?? null]));
  const save = () =>
    run(async () => {
      const task = await patch<{ taskUid: number }>(`/indexes/${part(props.uid)}/settings`, changes);
      setPhase(`Task ${task.taskUid}: every node takes the settings …`);
      await ended(task.taskUid);
      setPhase("Every node has them; the version is committed …");
      await committed(props.uid, props.version);
      changed("indexes", "tasks");
      say("The settings hold on every node.");
      props.saved();
      props.close();
    });
  return (
    <Dialog title={`Change the settings of ${props.uid}`} close={props.close} wide>
      <div class="stack">
        <p>
          {plural(props.names.length, "setting")} will change on every node, in two phases: all nodes take them, then they become version {props.version + 1}. The index may be built anew meanwhile; searches go on.
        </p>
        <dl class="facts">
          <dt>Fingerprint now</dt>
          <dd class="mono">{fingerprint(props.before)}</dd>
          <dt>Fingerprint after</dt>
          <dd class="mono">{fingerprint(props.after)}</dd>
        </dl>
        {props.names.map((name) => (
          <section key={name}>
            <h3 class="mono">{name}</h3>
            <Diff before={props.before[name]} after={props.after[name]} />
          </section>
        ))}
        <Refused error={error} />
        {phase && busy && <p role="status" class="hint">{phase}</p>}
        <div class="row end">
          <Button onClick={props.close}>Go on editing</Button>
          <Button kind="primary" busy={busy} onClick={save}>
            Save on every node
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

/** Waits until the settings of an index have a later version, for a minute at most. */
async function committed(uid: string, before: number): Promise<void> {
  for (let tries = 0; tries < 60; tries++) {
    const topology = await ask<Topology>("/_miroir/topology");
    const index = topology.indexes.find((one) => one.uid === uid);
    if (!index || index.settingsVersion > before) return;
    await news(["indexes"]);
  }
}

export function Diff({ before, after }: { before: unknown; after: unknown }) {
  const texts = [before, after].map((value) => JSON.stringify(value, null, 2) ?? "null") as [string, string];
  return (
    <pre class="diff" tabindex={0} aria-label="Difference">
      {lines(...texts).map((line, at) => (
        <span key={at} class={line.kind}>
          <span aria-hidden="true">{{ same: "  ", gone: "- ", new: "+ " }[line.kind]}</span>
          {line.kind !== "same" && <span class="unseen">{line.kind === "gone" ? "removed: " : "added: "}</span>}
          {line.text}
          {"\n"}
        </span>
      ))}
    </pre>
  );
}

function Reshard({ index, readOnly }: { index: TopologyIndex; readOnly: boolean }) {
  const status = useRead<Record<string, unknown>>(`/_miroir/indexes/${part(index.uid)}/reshard/status`, ["operations"]);
  const [shards, setShards] = useState(String(index.shards * 2));
  const [throttle, setThrottle] = useState("");
  const [auto, setAuto] = useState(true);
  const [plan, setPlan] = useState<unknown>(null);
  const { busy, error, run } = useAct();
  if (status.error?.absent && status.error.status !== 404)
    return <Refused error={status.error} />;
  if (status.error?.absent)
    return (
      <Empty title={`${index.uid} has ${plural(index.shards, "shard")}`}>
        This gateway cannot change the number of shards of an index: its version has no such route. Make a new index and flip an alias to it.
      </Empty>
    );
  const body = { shards: Number(shards), autoCutover: auto, ...(throttle ? { throttle: Number(throttle) } : {}) };
  const path = `/_miroir/indexes/${part(index.uid)}/reshard`;
  return (
    <div class="columns">
      <Card title="Change the number of shards">
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            void run(async () => setPlan(await post(path, { ...body, dryRun: true })));
          }}
        >
          <Text label="Shards" type="number" value={shards} set={(value) => { setShards(value); setPlan(null); }} hint={`Now ${index.shards}. About eight for each node that a group will ever have.`} />
          <Text label="Documents a second, at most" type="number" value={throttle} set={setThrottle} hint="Left empty, as fast as the nodes take them." />
          <Check label="Cut over by itself once all is copied" checked={auto} set={setAuto} />
          <Refused error={error} />
          {plan !== null && (
            <>
              <h3>What it would do</h3>
              <Json value={plan} />
            </>
          )}
          <div class="row end">
            <Button type="submit" busy={busy} disabled={readOnly || Number(shards) === index.shards}>Show the plan</Button>
            <Button
              kind="primary"
              disabled={plan === null || readOnly}
              busy={busy}
              onClick={() =>
                run(async () => {
                  await post(path, body);
                  changed("operations");
                  status.reload();
                  say("Resharding has started.");
                })
              }
            >
              Start
            </Button>
          </div>
        </form>
      </Card>
      <Card title="How it goes" aside={<a href="#/topology">Operations</a>}>
        {status.data ? <Json value={status.data} /> : <p class="hint">Nothing is under way.</p>}
      </Card>
    </div>
  );
}

interface Policy {
  enabled: boolean;
  sweepIntervalSeconds: number;
  maxDeletesPerSweep: number;
}

function Ttl({ uid, readOnly }: { uid: string; readOnly: boolean }) {
  const path = `/_miroir/indexes/${part(uid)}/ttl-policy`;
  const policy = useRead<Policy>(path, ["indexes"]);
  const [draft, setDraft] = useState<Policy | null>(null);
  const { busy, error, run } = useAct();
  if (policy.error && !policy.error.code) return <Empty title="Documents cannot end by themselves here">This gateway does not have the route.</Empty>;
  const none = policy.error?.code === "miroir_ttl_policy_not_found";
  if (policy.error && !none) return <Refused error={policy.error} />;
  const shown = draft ?? policy.data ?? { enabled: true, sweepIntervalSeconds: 300, maxDeletesPerSweep: 10_000 };
  return (
    <Card title="Documents that end by themselves" aside={none ? <Badge>no policy</Badge> : <Badge tone="good">policy</Badge>}>
      <form
        class="stack narrow"
        onSubmit={(event) => {
          event.preventDefault();
          void run(async () => {
            await post(path, shown);
            setDraft(null);
            policy.reload();
            say("The policy holds.");
          });
        }}
      >
        <p class="hint">A document with the field <code>_miroir_expires_at</code>, in milliseconds since 1970, is seen by nobody from then on, and swept later.</p>
        <Check label="Documents end" checked={shown.enabled} set={(enabled) => setDraft({ ...shown, enabled })} />
        <Text label="Seconds between sweeps" type="number" value={String(shown.sweepIntervalSeconds)} set={(text) => setDraft({ ...shown, sweepIntervalSeconds: Number(text) })} />
        <Text label="Documents of one sweep, at most" type="number" value={String(shown.maxDeletesPerSweep)} set={(text) => setDraft({ ...shown, maxDeletesPerSweep: Number(text) })} />
        <Refused error={error} />
        <div class="row end">
          {!none && <Button disabled={readOnly} busy={busy} onClick={() => run(async () => { await remove(path); setDraft(null); policy.reload(); say("The policy is gone: nothing ends any more."); })}>Remove the policy</Button>}
          <Button kind="primary" type="submit" busy={busy} disabled={readOnly}>{none ? "Give it a policy" : "Save"}</Button>
        </div>
      </form>
    </Card>
  );
}

/** The page on which everybody may search the index: given with one click, and shaped as JSON. */
function SearchPage({ uid, readOnly }: { uid: string; readOnly: boolean }) {
  const path = `/_miroir/ui/search/${part(uid)}/config`;
  const config = useRead<Record<string, unknown>>(path, ["search_pages"]);
  const [text, setText] = useState<string | null>(null);
  const { busy, error, run } = useAct();
  if (config.error?.absent) return <Empty title="Search pages are not available on this gateway">Its version does not serve the routes of this section.</Empty>;
  const none = config.error?.status === 404;
  if (config.error && !none) return <Refused error={config.error} />;
  if (!config.data && !none) return <Loading what="the page" />;
  const give = (body: unknown) =>
    run(async () => {
      await post(path, body);
      setText(null);
      config.reload();
      say("The page is there.");
    });
  if (none)
    return (
      <Card>
        <Empty title={`${uid} has no search page yet`} act={<Button kind="primary" busy={busy} disabled={readOnly} onClick={() => give({})}>Give it a page</Button>}>
          A page with facets, sorting and highlighting that everybody who may can search on. It guesses what it shows; all of it can be changed here.
        </Empty>
        <Refused error={error} />
      </Card>
    );
  const shown = text ?? JSON.stringify(config.data, null, 2);
  let fault = "";
  try {
    JSON.parse(shown);
  } catch (broken) {
    fault = `This is not JSON: ${(broken as Error).message}`;
  }
  return (
    <Card title="Search page" aside={<a class="button" href={`${root}/ui/search/${part(uid)}`} target="_blank" rel="noopener">Open the page</a>}>
      <div class="stack">
        <Area label="How it looks and who may use it" value={shown} set={setText} rows={14} error={fault} />
        <Refused error={error} />
        <div class="row end wrap">
          <Button disabled={readOnly} busy={busy} onClick={() => run(async () => { await remove(path); setText(null); config.reload(); say("The page is gone."); })}>Take the page away</Button>
          <Button kind="primary" busy={busy} disabled={readOnly || text === null || !!fault} onClick={() => give(JSON.parse(shown))}>Save</Button>
        </div>
      </div>
    </Card>
  );
}

function Fields({ distribution, documents }: { distribution: Record<string, number>; documents: number }) {
  const rows = Object.entries(distribution).sort(([, one], [, other]) => other - one);
  if (!rows.length) return <Empty title="No document has a field yet" />;
  return (
    <Card title={plural(rows.length, "field")} flush>
      <Table
        label="Fields"
        rows={rows}
        of={([name]) => name}
        columns={[
          { name: "Field", show: ([name]) => <span class="mono">{name}</span> },
          { name: "Documents", show: ([, count]) => number(count), right: true },
          { name: "Share", show: ([name, count]) => <meter min={0} max={Math.max(1, documents)} value={count} aria-label={`Share of documents with ${name}`} /> },
        ]}
      />
    </Card>
  );
}

function Delete({ uid, readOnly, documents }: { uid: string; readOnly: boolean; documents: number }) {
  const [asking, setAsking] = useState<"documents" | "index" | null>(null);
  const { busy, error, run } = useAct();
  const act = (path: string) => () =>
    run(async () => {
      const task = await ask<{ taskUid: number }>(path, { method: "DELETE" });
      await ended(task.taskUid);
      changed("indexes", "tasks");
      say(asking === "index" ? `Index ${uid} is gone.` : `${uid} is empty.`);
      if (asking === "index") location.hash = "#/indexes";
    });
  return (
    <Card title="What cannot be undone">
      <div class="stack">
        <Notice tone="warn">Both act on every node at once. A dump made before can be loaded again.</Notice>
        <div class="row wrap">
          <Button kind="danger" disabled={readOnly} onClick={() => setAsking("documents")}>Delete all documents</Button>
          <Button kind="danger" disabled={readOnly} onClick={() => setAsking("index")}>Delete the index</Button>
        </div>
      </div>
      {asking && (
        <Confirm
          title={asking === "index" ? `Delete the index ${uid}` : `Delete all documents of ${uid}`}
          name={uid}
          act={asking === "index" ? "Delete the index" : "Delete the documents"}
          busy={busy}
          error={error}
          close={() => setAsking(null)}
          run={act(asking === "index" ? `/indexes/${part(uid)}` : `/indexes/${part(uid)}/documents`)}
        >
          <p>
            {plural(documents, "document")} will be gone on every node{asking === "index" ? ", and the settings with them" : "; the settings stay"}.
          </p>
        </Confirm>
      )}
    </Card>
  );
}
