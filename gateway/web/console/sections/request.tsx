// Any request, sent as this session, and its answer as it came.
import { useState } from "preact/hooks";
import { send } from "../api";
import { useKept } from "../hooks";
import type { SectionProps } from "../sections";
import { bytes } from "../text";
import { Area, Badge, Button, Card, Cell, Check, Choice, Copy, Head, Json, Refused, Table, Tabs, Text } from "../ui";
import type { Refusal } from "../api";

interface Answer {
  status: number;
  took: number;
  size: number;
  headers: [string, string][];
  text: string;
  json: unknown;
}

const EXAMPLES: [string, string, string][] = [
  ["GET", "/_miroir/topology", ""],
  ["GET", "/stats", ""],
  ["POST", "/multi-search", '{\n  "queries": [{ "indexUid": "", "q": "" }]\n}'],
  ["GET", "/_miroir/anti-entropy", ""],
  ["GET", "/experimental-features", ""],
];

export default function Request({ readOnly }: SectionProps) {
  const [method, setMethod] = useKept("request:method", "GET");
  const [path, setPath] = useKept("request:path", "/_miroir/topology");
  const [body, setBody] = useKept("request:body", "");
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [error, setError] = useState<Refusal | null>(null);
  const [busy, setBusy] = useState(false);
  const [view, setView] = useState("json");
  const [images, setImages] = useKept("images", false);
  const hasBody = method !== "GET" && method !== "DELETE";
  const run = async () => {
    setBusy(true);
    setError(null);
    const began = performance.now();
    try {
      const sent = await send(path.startsWith("/") ? path : `/${path}`, {
        method,
        ...(hasBody && body.trim() ? { raw: { body, type: "application/json" } } : {}),
      });
      const text = await sent.text();
      let json: unknown;
      try {
        json = JSON.parse(text);
      } catch {
        json = undefined;
      }
      setAnswer({ status: sent.status, took: performance.now() - began, size: text.length, headers: [...sent.headers], text, json });
    } catch (refused) {
      setError(refused as Refusal);
    }
    setBusy(false);
  };
  const hits = hitsOf(answer?.json);
  return (
    <div class="stack wide-gap">
      <Head title="Requests" lead={readOnly ? "This console is read-only: requests that change something are refused." : "Anything that the API takes, sent as this session"} />
      <Card>
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            void run();
          }}
        >
          <div class="query-row">
            <Choice label="Method" value={method} set={setMethod} options={["GET", "POST", "PUT", "PATCH", "DELETE"]} />
            <Text label="Path" value={path} set={setPath} mono wide required />
            <Button kind="primary" type="submit" busy={busy}>Send</Button>
          </div>
          {hasBody && <Area label="Body, as JSON" value={body} set={setBody} rows={8} />}
          <div class="row wrap">
            <span class="hint">For example</span>
            {EXAMPLES.map(([verb, to, text]) => (
              <Button key={to} kind="quiet" onClick={() => { setMethod(verb); setPath(to); setBody(text); }}>
                {verb} {to}
              </Button>
            ))}
          </div>
        </form>
      </Card>
      <Refused error={error} />
      {answer && (
        <Card
          flush
          title={
            <span role="status">
              <Badge tone={answer.status < 300 ? "good" : answer.status < 400 ? "info" : "bad"}>{answer.status}</Badge> {answer.took.toFixed(0)} ms, {bytes(answer.size)}
            </span>
          }
          aside={
            <>
              {hits && view === "hits" && <Check label="Show images" checked={images} set={setImages} />}
              <Copy text={answer.text} />
            </>
          }
        >
          <Tabs label="The answer" chosen={view} choose={setView} tabs={[["json", "JSON"], ...(hits ? [["hits", "Hits"] as [string, string]] : []), ["text", "As it came"], ["headers", "Headers"]]} />
          <div class="pad answer" tabindex={0} role="region" aria-label="The answer">
            {view === "json" && (answer.json === undefined ? <pre>{answer.text || "An empty body."}</pre> : <Json value={answer.json} />)}
            {view === "text" && <pre>{answer.text}</pre>}
            {view === "headers" && (
              <dl class="facts">
                {answer.headers.map(([name, value]) => [<dt key={name} class="mono">{name}</dt>, <dd class="mono">{value}</dd>])}
              </dl>
            )}
            {view === "hits" && hits && <HitTable hits={hits} images={images} />}
          </div>
        </Card>
      )}
    </div>
  );
}

/** The list of documents in an answer, if it has one. */
function hitsOf(json: unknown): Record<string, unknown>[] | null {
  const members = json as { hits?: unknown; results?: unknown } | null | undefined;
  const list = members && typeof members === "object" ? (members.hits ?? members.results) : null;
  if (!Array.isArray(list) || !list.length) return null;
  return list.every((one) => one && typeof one === "object" && !Array.isArray(one)) ? (list as Record<string, unknown>[]) : null;
}

function HitTable({ hits, images }: { hits: Record<string, unknown>[]; images: boolean }) {
  const names = [...new Set(hits.slice(0, 50).flatMap((hit) => Object.keys(hit)))].slice(0, 8);
  return (
    <Table<{ hit: Record<string, unknown>; at: number }>
      label="Hits"
      rows={hits.slice(0, 200).map((hit, at) => ({ hit, at }))}
      of={(row) => row.at}
      columns={names.map((name, at) => ({ name, minor: at > 2, show: ({ hit }: { hit: Record<string, unknown> }) => <Cell value={hit[name]} images={images} /> }))}
    />
  );
}
