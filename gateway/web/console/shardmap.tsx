// Which node holds which shard, as cells: a row for each node, a column for each shard, group by group.
import { useMemo, useState } from "preact/hooks";
import type { NodeHealth } from "./live";
import type { Shards } from "./types";
import { toneOf } from "./ui";

/** Shards in one row of cells; more wrap. */
const MANY = 256;

export function ShardMap(props: { shards: Shards; nodes: NodeHealth[]; of: number; compact?: boolean }) {
  const [at, setAt] = useState<number | null>(null);
  const placement = props.shards.placements.find((one) => one.shards === props.of) ?? props.shards.placements[0];
  const states = new Map(props.nodes.map((node) => [node.id, node.state]));
  const groups = useMemo(
    () =>
      (placement?.groups ?? []).map((group) => {
        const rows = new Map<string, Map<number, number>>();
        group.owners.forEach((owners, shard) =>
          owners.forEach((owner, rank) => {
            if (!rows.has(owner)) rows.set(owner, new Map());
            rows.get(owner)!.set(shard, rank);
          }),
        );
        return { group: group.group, rows: [...rows].sort(([one], [other]) => (one < other ? -1 : 1)) };
      }),
    [placement],
  );
  if (!placement) return <p class="hint">No shard is placed yet.</p>;
  const holders =
    at === null
      ? null
      : placement.groups.map((group) => `group ${group.group}: ${group.owners[at]?.join(", ") || "nobody"}`).join("; ");
  return (
    <div class={`shardmap ${props.compact ? "compact" : ""}`} onMouseLeave={() => setAt(null)}>
      {groups.map((group) => (
        <div key={group.group} class="shard-group">
          {groups.length > 1 && <h3>Group {group.group}</h3>}
          {group.rows.map(([node, held]) => {
            const state = states.get(node) ?? "unknown";
            return (
              <div key={node} class="shard-row">
                <span class={`state ${toneOf(state)}`} title={state}>
                  <span class="dot" aria-hidden="true" />
                  <span class="mono">{node}</span>
                </span>
                <div
                  class={`cells ${placement.shards <= 64 ? "one-row" : ""}`}
                  role="img"
                  aria-label={`Node ${node}, ${state}, holds ${held.size} of ${placement.shards} shards`}
                  onMouseMove={(event) => {
                    const shard = (event.target as HTMLElement).dataset.shard;
                    if (shard !== undefined) setAt(Number(shard));
                  }}
                >
                  {Array.from({ length: Math.min(placement.shards, MANY) }, (_, shard) => {
                    const rank = held.get(shard);
                    return (
                      <i
                        key={shard}
                        data-shard={shard}
                        class={`${rank === undefined ? "" : rank === 0 ? "first-copy" : "copy"} ${at === shard ? "at" : ""} ${toneOf(state)}`}
                      />
                    );
                  })}
                </div>
                <span class="hint mono right">{held.size}</span>
              </div>
            );
          })}
        </div>
      ))}
      <p class="hint shard-legend" aria-live="off">
        {at === null ? (
          <>
            <i class="first-copy good" aria-hidden="true" /> first copy <i class="copy good" aria-hidden="true" /> further copy
            <i class="first-copy bad" aria-hidden="true" /> on a node that is down
            {placement.shards > MANY && ` (the first ${MANY} of ${placement.shards} shards)`}
          </>
        ) : (
          `Shard ${at}: ${holders}`
        )}
      </p>
    </div>
  );
}
