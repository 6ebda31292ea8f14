// Keys and tenants, and who is signed in to consoles.
import { useState } from "preact/hooks";
import { part, patch, post, put, remove } from "../api";
import { useAct, useRead } from "../hooks";
import { changed } from "../live";
import type { SectionProps } from "../sections";
import { ago, clock, plural } from "../text";
import { Badge, Button, Card, Confirm, Copy, Dialog, Empty, Head, Loading, Refused, say, Table, Tabs, Text } from "../ui";
import type { Page } from "../types";

interface Key {
  uid: string;
  key: string;
  name: string | null;
  description: string | null;
  actions: string[];
  indexes: string[];
  expiresAt: string | null;
  createdAt: string;
}

export default function Access({ rest, readOnly }: SectionProps) {
  const tab = rest[0] ?? "keys";
  return (
    <div class="stack wide-gap">
      <Head title="Keys and tenants" lead="Who may do what, where tenants live, and which consoles are open" />
      <Tabs label="Access" chosen={tab} choose={(next) => (location.hash = `#/access/${next}`)} tabs={[["keys", "Keys"], ["tenants", "Tenants"], ["sessions", "Sessions"]]} />
      <div role="tabpanel" aria-label={tab}>
        {tab === "keys" && <Keys readOnly={readOnly} />}
        {tab === "tenants" && <Tenants readOnly={readOnly} />}
        {tab === "sessions" && <Sessions />}
      </div>
    </div>
  );
}

function Keys({ readOnly }: { readOnly: boolean }) {
  const keys = useRead<Page<Key>>("/keys?limit=200", ["api_keys"]);
  const [shown, setShown] = useState<Key | null>(null);
  const [making, setMaking] = useState(false);
  if (keys.error?.code === "missing_master_key")
    return <Empty title="This gateway has no master key">Every client may do everything. Give it one with <code>MIROIR_MASTER_KEY</code>, and keys can be made here.</Empty>;
  return (
    <Card title="Keys" flush aside={!readOnly && <Button icon="plus" onClick={() => setMaking(true)}>Make a key</Button>}>
      <Refused error={keys.error} />
      {!keys.data && !keys.error && <Loading what="keys" />}
      {keys.data && (
        <Table<Key>
          label="Keys"
          rows={keys.data.results}
          of={(key) => key.uid}
          open={setShown}
          openLabel={(key) => `Key ${key.name ?? key.uid}`}
          columns={[
            { name: "Name", show: (key) => <b>{key.name ?? <span class="faint">without a name</span>}</b> },
            { name: "May", show: (key) => (key.actions.length > 3 ? plural(key.actions.length, "action") : key.actions.join(", ")) },
            { name: "On", show: (key) => key.indexes.join(", "), minor: true },
            { name: "Ends", show: (key) => (key.expiresAt ? clock(key.expiresAt) : "never"), minor: true },
          ]}
        />
      )}
      {shown && <One item={shown} readOnly={readOnly} close={() => setShown(null)} />}
      {making && <Make close={() => setMaking(false)} />}
    </Card>
  );
}

function One({ item, readOnly, close }: { item: Key; readOnly: boolean; close: () => void }) {
  const [seen, setSeen] = useState(false);
  const [name, setName] = useState(item.name ?? "");
  const [deleting, setDeleting] = useState(false);
  const { busy, error, run } = useAct();
  const title = item.name ?? item.uid;
  if (deleting)
    return (
      <Confirm title={`Delete the key ${title}`} name={title} act="Delete the key" busy={busy} error={error} close={close} run={() => run(async () => { await remove(`/keys/${part(item.uid)}`); changed("api_keys"); })}>
        <p>Clients that use it are refused from then on, and so are tenant tokens made with it.</p>
      </Confirm>
    );
  return (
    <Dialog title={title} close={close} side>
      <form class="stack" onSubmit={async (event) => { event.preventDefault(); if (await run(async () => { await patch(`/keys/${part(item.uid)}`, { name }); changed("api_keys"); })) close(); }}>
        <dl class="facts">
          <dt>Uid</dt>
          <dd class="mono">{item.uid}</dd>
          <dt>Key</dt>
          <dd class="mono">
            {seen ? item.key : "•".repeat(16)} <Button kind="quiet" onClick={() => setSeen(!seen)}>{seen ? "Hide" : "Show"}</Button> <Copy text={item.key} />
          </dd>
          <dt>May</dt>
          <dd>{item.actions.join(", ")}</dd>
          <dt>On</dt>
          <dd>{item.indexes.join(", ")}</dd>
          <dt>Made</dt>
          <dd>{clock(item.createdAt)}</dd>
          <dt>Ends</dt>
          <dd>{item.expiresAt ? clock(item.expiresAt) : "never"}</dd>
        </dl>
        {item.description && <p class="hint">{item.description}</p>}
        {!readOnly && <Text label="Name" value={name} set={setName} />}
        <Refused error={error} />
        {!readOnly && (
          <div class="row end">
            <Button kind="danger" onClick={() => setDeleting(true)}>Delete</Button>
            <Button kind="primary" type="submit" busy={busy} disabled={name === (item.name ?? "")}>Rename</Button>
          </div>
        )}
      </form>
    </Dialog>
  );
}

function Make({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const [actions, setActions] = useState("search");
  const [indexes, setIndexes] = useState("*");
  const [ends, setEnds] = useState("");
  const { busy, error, run } = useAct();
  const listed = (text: string) => text.split(",").map((one) => one.trim()).filter(Boolean);
  return (
    <Dialog title="Make a key" close={close}>
      <form
        class="stack"
        onSubmit={async (event) => {
          event.preventDefault();
          const made = await run(async () => {
            await post("/keys", { name, actions: listed(actions), indexes: listed(indexes), expiresAt: ends ? new Date(ends).toISOString() : null });
            changed("api_keys");
          });
          if (made) {
            say(`The key ${name} is there.`);
            close();
          }
        }}
      >
        <Text label="Name" value={name} set={setName} autofocus required />
        <Text label="Actions, with commas" value={actions} set={setActions} mono hint="search, documents.add, indexes.*, *" />
        <Text label="Indexes, with commas" value={indexes} set={setIndexes} mono hint="* stands for all, products-* for those that begin so" />
        <Text label="Ends" type="datetime-local" value={ends} set={setEnds} hint="Left empty, never." />
        <Refused error={error} />
        <div class="row end">
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" type="submit" busy={busy} disabled={!name}>Make it</Button>
        </div>
      </form>
    </Dialog>
  );
}

interface Tenant {
  tenant: string;
  group: number;
}

function Tenants({ readOnly }: { readOnly: boolean }) {
  const tenants = useRead<{ results: Tenant[] }>("/_miroir/tenants", ["tenants"]);
  const [name, setName] = useState("");
  const [group, setGroup] = useState("0");
  const { busy, error, run } = useAct();
  if (tenants.error?.absent)
    return <Empty title="Tenants have no groups of their own on this gateway">Its version has no such route, or the table is not used: <code>--tenant-affinity explicit</code>.</Empty>;
  const rows = Array.isArray(tenants.data?.results) ? tenants.data.results : [];
  return (
    <Card title="Tenants and their groups" flush>
      <Refused error={tenants.error ?? error} />
      {tenants.data && !rows.length && <Empty title="No tenant is in the table" />}
      {rows.length > 0 && (
        <Table<Tenant>
          label="Tenants"
          rows={rows}
          of={(row) => row.tenant}
          columns={[
            { name: "Tenant", show: (row) => <b class="mono">{row.tenant}</b> },
            { name: "Group", show: (row) => row.group, right: true },
            { name: "Act", right: true, show: (row) => !readOnly && <Button kind="quiet" aria-label={`Remove ${row.tenant}`} onClick={() => run(async () => { await remove(`/_miroir/tenants/${part(row.tenant)}`); tenants.reload(); })}>Remove</Button> },
          ]}
        />
      )}
      {!readOnly && (
        <form class="row wrap pad" onSubmit={(event) => { event.preventDefault(); void run(async () => { await put(`/_miroir/tenants/${part(name)}`, { group: Number(group) }); setName(""); tenants.reload(); }); }}>
          <Text label="Tenant" value={name} set={setName} mono required />
          <Text label="Group" type="number" value={group} set={setGroup} />
          <Button type="submit" busy={busy} disabled={!name}>Put into the table</Button>
        </form>
      )}
    </Card>
  );
}

interface Session {
  id: string;
  startedAt: string;
  expiresAt: string;
  address: string;
  agent: string;
  own: boolean;
}

function Sessions() {
  const sessions = useRead<{ results: Session[] }>("/_miroir/admin/sessions", ["console_sessions"]);
  const { error, run } = useAct();
  return (
    <Card title="Open consoles" flush>
      <Refused error={sessions.error ?? error} />
      {!sessions.data && !sessions.error && <Loading what="sessions" />}
      {sessions.data && !sessions.data.results.length && <Empty title="Nobody is signed in">This gateway has neither an admin key nor a master key: its console is open to everybody who reaches it.</Empty>}
      {!!sessions.data?.results.length && (
        <Table<Session>
          label="Sessions"
          rows={sessions.data.results}
          of={(session) => session.id}
          columns={[
            { name: "From", show: (session) => <span class="mono">{session.address}</span> },
            { name: "Browser", show: (session) => session.agent.slice(0, 60), minor: true },
            { name: "Since", show: (session) => ago(session.startedAt) },
            { name: "Ends", show: (session) => clock(session.expiresAt), minor: true },
            {
              name: "Act",
              right: true,
              show: (session) =>
                session.own ? (
                  <Badge tone="good">this one</Badge>
                ) : (
                  <Button kind="quiet" aria-label={`End the session from ${session.address}`} onClick={() => run(async () => { await remove(`/_miroir/admin/sessions/${session.id}`); sessions.reload(); say("It is signed out, on every pod."); })}>
                    End
                  </Button>
                ),
            },
          ]}
        />
      )}
    </Card>
  );
}
