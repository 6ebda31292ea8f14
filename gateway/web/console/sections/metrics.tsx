// The last hour, as small charts over one time.
import { Chart, type Line } from "../chart";
import { metrics, useCell } from "../live";
import type { SectionProps } from "../sections";
import { clock } from "../text";
import { Empty, Head } from "../ui";

const CHARTS: [string, string, Line[]][] = [
  ["Requests", "a second", [{ series: "searches", label: "searches" }, { series: "writes", label: "writes" }, { series: "otherRequests", label: "others" }]],
  ["Latency of searches", "ms", [{ series: "searchP50", label: "p50" }, { series: "searchP95", label: "p95" }, { series: "searchP99", label: "p99" }]],
  ["Errors", "a second", [{ series: "clientErrors", label: "4xx" }, { series: "serverErrors", label: "5xx" }]],
  ["Second tries", "a second", [{ series: "hedges", label: "hedges" }, { series: "retries", label: "retries" }]],
  ["Partial answers", "a second", [{ series: "partialAnswers", label: "partial" }]],
  ["Shared answers", "a second", [{ series: "coalesced", label: "coalesced" }]],
  ["Refusals", "a second", [{ series: "refusals", label: "refused" }]],
  ["In flight", "requests", [{ series: "inFlight", label: "in flight" }]],
  ["Tasks to do", "tasks", [{ series: "unfinishedTasks", label: "unfinished" }]],
  ["Shards served", "share", [{ series: "shardCoverage", label: "covered" }]],
];

export default function Metrics(_: SectionProps) {
  const all = useCell(metrics);
  const first = all.points[0]?.[0];
  return (
    <div class="stack wide-gap">
      <Head title="Metrics" lead={first ? `This pod since ${clock(first * 1000)}, a point every ten seconds; Prometheus gets all of it at /_miroir/metrics` : "This pod, in the last hour"} />
      {all.points.length < 2 ? (
        <Empty title="The first points are being taken">A gateway that has just started needs twenty seconds.</Empty>
      ) : (
        <div class="charts">
          {CHARTS.map(([title, unit, lines]) => (
            <Chart key={title} all={all} title={title} unit={unit} lines={lines} />
          ))}
        </div>
      )}
    </div>
  );
}
