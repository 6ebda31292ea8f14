// Documents: browsed, filtered, written, deleted, and dropped in as files.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, part, post, query, Refusal, upload } from "../api";
import { ended } from "../follow";
import { useAct, useKept, useRead } from "../hooks";
import { changed } from "../live";
import { Picker, useIndexes } from "../picker";
import type { SectionProps } from "../sections";
import { bytes, number, plural } from "../text";
import type { Page, Settings, Topology } from "../types";
import { Area, Button, Card, Cell, Check, Confirm, Dialog, Empty, Head, Json, Loading, Progress, Refused, say, Table } from "../ui";

type Row = Record<string, unknown>;
const LIMIT = 20;
/** Columns that a table of documents shows. */
const COLUMNS_MAX = 7;

export default function Documents({ rest, readOnly }: SectionProps) {
  const { all, uid, ready } = useIndexes(rest[0]);
  if (ready && !uid)
    return (
      <div class="stack wide-gap">
        <Head title="Documents" />
        <Empty title="There is no index yet" act={<a class="button primary" href="#/indexes/+new">Create an index</a>}>
          Documents live in an index.
        </Empty>
      </div>
    );
  return (
    <div class="stack wide-gap">
      <Head title="Documents">
        <Picker section="documents" all={all} uid={uid} />
      </Head>
      {uid && <Browse key={uid} uid={uid} readOnly={readOnly} />}
    </div>
  );
}

interface Condition {
  field: string;
  operator: string;
  value: string;
}
const OPERATORS = ["=", "!=", ">", ">=", "<", "<=", "IN", "CONTAINS", "STARTS WITH", "EXISTS", "IS NULL", "IS EMPTY"];
const BARE = ["EXISTS", "IS NULL", "IS EMPTY"];

const quoted = (text: string): string =>
  /^-?\d+(\.\d+)?$/.test(text.trim()) || text === "true" || text === "false" ? text.trim() : `"${text.replace(/(["\\])/g, "\\$1")}"`;

/** The filter of some conditions, which all have to hold. */
export function filterOf(conditions: Condition[]): string {
  return conditions
    .filter(({ field, operator, value }) => field && (BARE.includes(operator) || value !== ""))
    .map(({ field, operator, value }) => {
      const name = quoted(field);
      if (BARE.includes(operator)) return `${name} ${operator}`;
      if (operator === "IN") return `${name} IN [${value.split(",").map((one) => quoted(one.trim())).join(", ")}]`;
      return `${name} ${operator} ${quoted(value)}`;
    })
    .join(" AND ");
}

function Browse({ uid, readOnly }: { uid: string; readOnly: boolean }) {
  const [conditions, setConditions] = useKept<Condition[]>(`filter:${uid}`, []);
  const [offset, setOffset] = useState(0);
  const [shown, setShown] = useState<Row | null>(null);
  const [writing, setWriting] = useState(false);
  const [images, setImages] = useKept("images", false);
  const settings = useRead<Settings>(`/indexes/${part(uid)}/settings`, ["indexes"]);
  const topology = useRead<Topology>("/_miroir/topology", ["indexes"]);
  const index = useRead<{ primaryKey: string | null }>(`/indexes/${part(uid)}`, ["indexes", "tasks"]);
  const filter = filterOf(conditions);
  const page = useRead<Page<Row>>(`/indexes/${part(uid)}/documents${query({ limit: LIMIT, offset, filter })}`, ["tasks"]);
  const key = index.data?.primaryKey ?? topology.data?.indexes.find((one) => one.uid === uid)?.primaryKey ?? null;
  const rows = page.data?.results ?? [];
  const names = [...new Set([...(key ? [key] : []), ...rows.flatMap((row) => Object.keys(row))])].slice(0, COLUMNS_MAX);
  const fields = Array.isArray(settings.data?.filterableAttributes)
    ? (settings.data.filterableAttributes as unknown[]).filter((one): one is string => typeof one === "string")
    : [];
  const total = page.data?.total ?? 0;
  return (
    <>
      <Drop uid={uid} primaryKey={key} readOnly={readOnly} />
      <Card
        title={`${plural(total, "document")}${filter ? " match" : ""}`}
        flush
        aside={
          <>
            <Check label="Show images" checked={images} set={setImages} />
            {!readOnly && <Button icon="plus" onClick={() => setWriting(true)}>Write one</Button>}
          </>
        }
      >
        <FilterBuilder fields={fields} conditions={conditions} set={(next) => { setConditions(next); setOffset(0); }} filter={filter} />
        <Refused error={page.error} />
        {page.loading && !page.data && <Loading what="documents" />}
        {page.data && !rows.length && <Empty title={filter ? "No document matches" : `${uid} is empty`}>{filter ? "Take a condition away." : "Drop a file above, or write a document."}</Empty>}
        {rows.length > 0 && (
          <Table<Row>
            label="Documents"
            rows={rows}
            of={(row) => String(key ? row[key] : JSON.stringify(row))}
            open={setShown}
            openLabel={(row) => `Document ${key ? String(row[key]) : ""}`}
            columns={names.map((name, at) => ({ name, minor: at > 2, show: (row: Row) => <Cell value={row[name]} images={images} /> }))}
          />
        )}
        {total > LIMIT && (
          <div class="row between pager">
            <Button disabled={offset === 0} onClick={() => setOffset(Math.max(0, offset - LIMIT))}>Earlier</Button>
            <span class="hint">
              {number(offset + 1)} – {number(Math.min(total, offset + LIMIT))} of {number(total)}
            </span>
            <Button disabled={offset + LIMIT >= total} onClick={() => setOffset(offset + LIMIT)}>Later</Button>
          </div>
        )}
      </Card>
      {shown && <One uid={uid} row={shown} primaryKey={key} readOnly={readOnly} close={() => setShown(null)} />}
      {writing && <Write uid={uid} row={key ? { [key]: "" } : {}} close={() => setWriting(false)} />}
    </>
  );
}

function FilterBuilder(props: { fields: string[]; conditions: Condition[]; set: (conditions: Condition[]) => void; filter: string }) {
  const { conditions, set } = props;
  const change = (at: number, with_: Partial<Condition>) => set(conditions.map((one, own) => (own === at ? { ...one, ...with_ } : one)));
  if (!props.fields.length)
    return <p class="hint pad">No attribute is filterable yet: the settings of the index say which are.</p>;
  return (
    <div class="builder">
      {conditions.map((condition, at) => (
        <div key={at} class="row wrap">
          <span class="hint">{at ? "and" : "where"}</span>
          <select class="input" aria-label="Attribute" value={condition.field} onChange={(event) => change(at, { field: event.currentTarget.value })}>
            {props.fields.map((field) => <option key={field} selected={field === condition.field}>{field}</option>)}
          </select>
          <select class="input" aria-label="Comparison" value={condition.operator} onChange={(event) => change(at, { operator: event.currentTarget.value })}>
            {OPERATORS.map((operator) => <option key={operator} selected={operator === condition.operator}>{operator}</option>)}
          </select>
          {!BARE.includes(condition.operator) && (
            <input class="input" aria-label="Value" value={condition.value} placeholder={condition.operator === "IN" ? "one, another" : "value"} onInput={(event) => change(at, { value: event.currentTarget.value })} />
          )}
          <Button kind="quiet" aria-label="Remove the condition" onClick={() => set(conditions.filter((_, own) => own !== at))}>Remove</Button>
        </div>
      ))}
      <div class="row wrap">
        <Button kind="quiet" icon="plus" onClick={() => set([...conditions, { field: props.fields[0]!, operator: "=", value: "" }])}>Add a condition</Button>
        {props.filter && <code class="filter">{props.filter}</code>}
      </div>
    </div>
  );
}

function One(props: { uid: string; row: Row; primaryKey: string | null; readOnly: boolean; close: () => void }) {
  const id = props.primaryKey ? String(props.row[props.primaryKey]) : "";
  const [editing, setEditing] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const { busy, error, run } = useAct();
  if (editing) return <Write uid={props.uid} row={props.row} close={props.close} />;
  if (deleting)
    return (
      <Confirm
        title={`Delete document ${id}`}
        name={id}
        act="Delete the document"
        busy={busy}
        error={error}
        close={props.close}
        run={() =>
          run(async () => {
            const task = await ask<{ taskUid: number }>(`/indexes/${part(props.uid)}/documents/${part(id)}`, { method: "DELETE" });
            await ended(task.taskUid);
            changed("tasks");
            say(`Document ${id} is gone.`);
          })
        }
      >
        <p>It goes from every copy.</p>
      </Confirm>
    );
  return (
    <Dialog title={id ? `Document ${id}` : "Document"} close={props.close} side>
      <div class="stack">
        <Json value={props.row} />
        {!props.readOnly && id && (
          <div class="row end">
            <Button kind="danger" onClick={() => setDeleting(true)}>Delete</Button>
            <Button onClick={() => setEditing(true)}>Edit</Button>
          </div>
        )}
      </div>
    </Dialog>
  );
}

function Write({ uid, row, close }: { uid: string; row: Row; close: () => void }) {
  const [text, setText] = useState(JSON.stringify(row, null, 2));
  const { busy, error, run } = useAct();
  let fault = "";
  try {
    JSON.parse(text);
  } catch (broken) {
    fault = `This is not JSON: ${(broken as Error).message}`;
  }
  return (
    <Dialog title={`Write into ${uid}`} close={close} wide>
      <div class="stack">
        <Area label="A document, or a list of them, as JSON" value={text} set={setText} rows={14} error={fault} />
        <Refused error={error} />
        <div class="row end">
          <Button onClick={close}>Cancel</Button>
          <Button
            kind="primary"
            busy={busy}
            disabled={!!fault}
            onClick={async () => {
              const done = await run(async () => {
                const task = await post<{ taskUid: number }>(`/indexes/${part(uid)}/documents`, JSON.parse(text));
                await ended(task.taskUid);
                changed("tasks");
                say("Written, on every copy.");
              });
              if (done) close();
            }}
          >
            Write
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

const TYPES: Record<string, string> = { json: "application/json", ndjson: "application/x-ndjson", jsonl: "application/x-ndjson", csv: "text/csv" };

interface Sending {
  name: string;
  size: number;
  share: number;
  state: "sent" | "indexed" | "sending" | "failed";
  text: string;
}

/** Takes files in: dropped, pasted by the picker, one after the other. */
function Drop({ uid, primaryKey, readOnly }: { uid: string; primaryKey: string | null; readOnly: boolean }) {
  const [over, setOver] = useState(false);
  const [files, setFiles] = useState<Sending[]>([]);
  const input = useRef<HTMLInputElement>(null);
  const alive = useRef(true);
  useEffect(() => () => void (alive.current = false), []);
  if (readOnly) return null;
  const update = (name: string, with_: Partial<Sending>) =>
    alive.current && setFiles((all) => all.map((one) => (one.name === name ? { ...one, ...with_ } : one)));
  const take = async (list: FileList | null) => {
    for (const file of [...(list ?? [])]) {
      const type = TYPES[file.name.split(".").pop()?.toLowerCase() ?? ""];
      const own: Sending = { name: file.name, size: file.size, share: 0, state: "sending", text: "sending" };
      setFiles((all) => [own, ...all.filter((one) => one.name !== file.name)].slice(0, 8));
      if (!type) {
        update(file.name, { state: "failed", text: "Its name ends in none of .json, .ndjson, .jsonl, .csv." });
        continue;
      }
      try {
        const task = await upload(`/indexes/${part(uid)}/documents`, file, type, (share) => update(file.name, { share, text: share < 1 ? `sent ${Math.round(share * 100)} %` : "sent; the nodes take it" }));
        update(file.name, { share: 1, state: "sent", text: `task ${task.taskUid}: indexing` });
        const done = await ended(task.taskUid);
        update(file.name, { state: "indexed", text: `${plural(Number(done.details?.indexedDocuments ?? 0), "document")} indexed` });
        changed("tasks", "indexes");
      } catch (error) {
        update(file.name, { state: "failed", text: error instanceof Refusal && error.status === 413 ? `${error.message} Split the file.` : (error as Error).message });
      }
    }
  };
  return (
    <section
      class={`drop ${over ? "over" : ""}`}
      aria-label="Drop files"
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        void take(event.dataTransfer?.files ?? null);
      }}
    >
      <div class="row between wrap">
        <span>
          <b>Drop JSON, NDJSON or CSV here</b>
          <span class="hint"> into {uid}{primaryKey ? `, keyed by ${primaryKey}` : ""}</span>
        </span>
        <Button onClick={() => input.current?.click()}>Choose files</Button>
        <input ref={input} class="unseen" type="file" multiple accept=".json,.ndjson,.jsonl,.csv" tabindex={-1} aria-label="Files of documents" onChange={(event) => { void take(event.currentTarget.files); event.currentTarget.value = ""; }} />
      </div>
      {files.length > 0 && (
        <ul class="files" aria-live="polite">
          {files.map((file) => (
            <li key={file.name}>
              <span class="mono">{file.name}</span> <span class="hint">{bytes(file.size)}</span>
              {file.state === "failed" ? <span class="bad-text">{file.text}</span> : <span class="hint">{file.text}</span>}
              {(file.state === "sending" || file.state === "sent") && <Progress share={file.state === "sent" ? null : file.share} label={`${file.name}: ${file.text}`} />}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
