// Small charts over the last hour, drawn as SVG from the points that the gateway keeps.
import { useId, useState } from "preact/hooks";
import type { Series } from "./live";
import { short } from "./text";

const [WIDTH, HEIGHT] = [320, 88];

export interface Line {
  series: string;
  label: string;
  tone?: string;
}

/** The values of one series, with their times. */
export function values(all: Series, name: string): (number | null)[] {
  const at = all.series.indexOf(name) + 1;
  return at ? all.points.map((point) => point[at] ?? null) : [];
}

export function last(all: Series, name: string): number | null {
  const found = values(all, name);
  return found.length ? found[found.length - 1]! : null;
}

/** A path through values; gaps stay gaps. */
function path(found: (number | null)[], most: number, width: number, height: number): string {
  const step = found.length > 1 ? width / (found.length - 1) : 0;
  let text = "";
  let pen = false;
  found.forEach((value, at) => {
    if (value === null) {
      pen = false;
      return;
    }
    const x = found.length > 1 ? at * step : width;
    text += `${pen ? "L" : "M"}${x.toFixed(1)} ${(height - 2 - (value / most) * (height - 6)).toFixed(1)}`;
    // A moment between two gaps is a dot.
    if (!pen && (found[at + 1] ?? null) === null) text += "h.01";
    pen = true;
  });
  return text;
}

export function Spark({ all, name, label }: { all: Series; name: string; label: string }) {
  const found = values(all, name).slice(-60);
  const most = Math.max(0.001, ...found.map((value) => value ?? 0));
  return (
    <svg class="spark" viewBox="0 0 120 28" role="img" aria-label={label} preserveAspectRatio="none">
      <path class="line tone-0" d={path(found, most, 120, 28)} />
    </svg>
  );
}

/** One small chart of one or several series, with a readout that follows the pointer or the arrow keys. */
export function Chart(props: { all: Series; title: string; unit: string; lines: Line[] }) {
  const id = useId();
  const [at, setAt] = useState<number | null>(null);
  const found = props.lines.map((line) => values(props.all, line.series));
  const count = props.all.points.length;
  const top = Math.max(0, ...found.flat().map((value) => value ?? 0));
  const most = Math.max(0.001, top) * 1.05;
  const shown = at === null ? count - 1 : Math.min(at, count - 1);
  const when = props.all.points[shown]?.[0];
  const move = (event: PointerEvent) => {
    const box = (event.currentTarget as SVGElement).getBoundingClientRect();
    setAt(Math.round(((event.clientX - box.left) / box.width) * (count - 1)));
  };
  const step = (event: KeyboardEvent) => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!by) return;
    event.preventDefault();
    setAt(Math.max(0, Math.min(count - 1, shown + by)));
  };
  return (
    <figure class="chart">
      <figcaption id={id}>
        <span>{props.title}</span>
        <span class="chart-when">
          {at !== null && when ? new Date(when * 1000).toLocaleTimeString("en-GB") : props.unit}
        </span>
      </figcaption>
      <div class="chart-plot">
      <span class="chart-most" aria-hidden="true">{short(top)}</span>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-labelledby={id}
        tabindex={0}
        onPointerMove={move}
        onPointerLeave={() => setAt(null)}
        onKeyDown={step}
        onBlur={() => setAt(null)}
      >
        <line class="grid" x1="0" x2={WIDTH} y1={HEIGHT - 2} y2={HEIGHT - 2} />
        <line class="grid" x1="0" x2={WIDTH} y1={HEIGHT / 2} y2={HEIGHT / 2} />
        {found.map((line, number) => (
          <path key={number} class={`line tone-${number}`} d={path(line, most, WIDTH, HEIGHT)} />
        ))}
        {at !== null && count > 1 && (
          <line class="cursor" x1={(shown * WIDTH) / (count - 1)} x2={(shown * WIDTH) / (count - 1)} y1="0" y2={HEIGHT} />
        )}
      </svg>
      </div>
      <ul class="legend">
        {props.lines.map((line, number) => (
          <li key={line.series}>
            <span class={`swatch tone-${number}`} aria-hidden="true" />
            {line.label} <b>{short(found[number]?.[shown] ?? null)}</b>
          </li>
        ))}
      </ul>
    </figure>
  );
}
