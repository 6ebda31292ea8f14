// Aliases: names that stand for indexes, flipped at once, with what they stood for before.
import { useState } from "preact/hooks";
import { part, post, put, remove } from "../api";
import { useAct, useRead } from "../hooks";
import { changed } from "../live";
import type { SectionProps } from "../sections";
import { clock, plural } from "../text";
import type { Alias, Page, Topology } from "../types";
import { Absent, Badge, Button, Card, Choice, Confirm, Dialog, Empty, Head, Loading, Refused, say, Text } from "../ui";

const targets = (of: { target?: string; targets?: string[] }): string => of.target ?? of.targets?.join(", ") ?? "–";

export default function Aliases({ readOnly }: SectionProps) {
  const aliases = useRead<Page<Alias>>("/_miroir/aliases", ["aliases"]);
  const topology = useRead<Topology>("/_miroir/topology", ["indexes"]);
  const [making, setMaking] = useState(false);
  const [flipping, setFlipping] = useState<Alias | null>(null);
  const [deleting, setDeleting] = useState<Alias | null>(null);
  const { busy, error, run } = useAct();
  const indexes = topology.data?.indexes.map((index) => index.uid) ?? [];
  if (aliases.error?.absent) return <Absent what="Aliases" />;
  return (
    <div class="stack wide-gap">
      <Head title="Aliases" lead="A name that stands for one index, flipped for every request at once, or for several that are searched as one">
        {!readOnly && (
          <Button kind="primary" icon="plus" onClick={() => setMaking(true)}>
            Create an alias
          </Button>
        )}
      </Head>
      <Refused error={aliases.error} />
      {!aliases.data && !aliases.error && <Loading what="the aliases" />}
      {aliases.data && !aliases.data.results.length && (
        <Empty title="There is no alias yet">
          Clients that use an alias need not know when you build a new index beside the old one: fill it, then flip.
        </Empty>
      )}
      <div class="columns even">
        {aliases.data?.results.map((alias) => (
          <Card key={alias.name} title={alias.name} aside={<Badge tone={alias.kind === "multi" ? "info" : "plain"}>{alias.kind}</Badge>}>
            <div class="stack">
              <p class="flow">
                <b class="mono">{alias.name}</b> <span aria-hidden="true">→</span> <b class="mono">{targets(alias)}</b>
              </p>
              <p class="hint">
                Version {alias.version}, made {clock(alias.createdAt)}
              </p>
              {alias.history.length > 0 && (
                <details>
                  <summary>{plural(alias.history.length, "earlier version")}</summary>
                  <ol class="timeline">
                    {[...alias.history].reverse().map((former) => (
                      <li key={former.version}>
                        <span class="mono">{targets(former)}</span>
                        <span class="hint">
                          version {former.version}, until {clock(former.until)}
                        </span>
                      </li>
                    ))}
                  </ol>
                </details>
              )}
              {!readOnly && (
                <div class="row end">
                  <Button kind="quiet" aria-label={`Delete ${alias.name}`} onClick={() => setDeleting(alias)}>
                    Delete
                  </Button>
                  <Button aria-label={`Flip ${alias.name}`} onClick={() => setFlipping(alias)}>
                    Flip
                  </Button>
                </div>
              )}
            </div>
          </Card>
        ))}
      </div>
      {making && <Form indexes={indexes} close={() => setMaking(false)} />}
      {flipping && <Form indexes={indexes} alias={flipping} close={() => setFlipping(null)} />}
      {deleting && (
        <Confirm
          title={`Delete the alias ${deleting.name}`}
          name={deleting.name}
          act="Delete the alias"
          busy={busy}
          error={error}
          close={() => setDeleting(null)}
          run={() =>
            run(async () => {
              await remove(`/_miroir/aliases/${part(deleting.name)}`);
              changed("aliases");
              say(`The alias ${deleting.name} is gone.`);
            })
          }
        >
          <p>Clients that use this name will be told that there is no such index. {targets(deleting)} stays as it is.</p>
        </Confirm>
      )}
    </div>
  );
}

function Form({ indexes, alias, close }: { indexes: string[]; alias?: Alias; close: () => void }) {
  const [name, setName] = useState(alias?.name ?? "");
  const [kind, setKind] = useState(alias?.kind ?? "single");
  const [list, setList] = useState(alias ? targets(alias) : "");
  const { busy, error, run } = useAct();
  const wanted = list.split(",").map((one) => one.trim()).filter(Boolean);
  const body = kind === "multi" ? { targets: wanted } : { target: wanted[0] };
  return (
    <Dialog title={alias ? `Flip ${alias.name}` : "Create an alias"} close={close}>
      <form
        class="stack"
        onSubmit={async (event) => {
          event.preventDefault();
          const done = await run(async () => {
            if (alias) await put(`/_miroir/aliases/${part(alias.name)}`, { ...body, version: alias.version });
            else await post("/_miroir/aliases", { name, ...body });
            changed("aliases");
          });
          if (done) {
            say(alias ? `${alias.name} now stands for ${list}.` : `The alias ${name} is there.`);
            close();
          }
        }}
      >
        {alias ? (
          <p>
            <b class="mono">{alias.name}</b> stands for <b class="mono">{targets(alias)}</b>. Every request that begins after the flip uses the new index.
          </p>
        ) : (
          <>
            <Text label="Name" value={name} set={setName} autofocus mono required />
            <Choice label="It stands for" value={kind} set={setKind} options={[["single", "one index"], ["multi", "several indexes, read as one"]]} />
          </>
        )}
        <Text label={kind === "multi" ? "Indexes, with commas" : "Index"} value={list} set={setList} mono required list={indexes} autofocus={!!alias} />
        <Refused error={error} />
        <div class="row end">
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" type="submit" busy={busy} disabled={!wanted.length || (!alias && !name)}>
            {alias ? "Flip" : "Create"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
