// Values as people read them.

const whole = new Intl.NumberFormat("en");

export const number = (value: number | null | undefined): string =>
  value === null || value === undefined ? "–" : whole.format(value);

/** Short: 12.3k, 4.5M. */
export function short(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  for (const [size, unit] of [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const)
    if (Math.abs(value) >= size) return `${(value / size).toFixed(1)}${unit}`;
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 2 : 1);
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let left = value;
  while (left >= 1024 && at < units.length - 1) {
    left /= 1024;
    at += 1;
  }
  return `${at === 0 ? left : left.toFixed(1)} ${units[at]}`;
}

export function milliseconds(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : `${short(value)} ms`;
}

export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 120) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  if (value < 172_800) return `${Math.round(value / 3600)} h`;
  return `${Math.round(value / 86_400)} d`;
}

/** The length of an ISO 8601 duration such as `PT0.12S`. */
export function isoSeconds(value: string | null): number | null {
  const found = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?$/.exec(value ?? "");
  if (!found) return null;
  const [, days, hours, minutes, rest] = found.map((text) => Number(text ?? 0));
  return (days ?? 0) * 86_400 + (hours ?? 0) * 3600 + (minutes ?? 0) * 60 + (rest ?? 0);
}

/** How long ago a date was. */
export function ago(date: string | number | null | undefined, now = Date.now()): string {
  if (date === null || date === undefined) return "–";
  const then = typeof date === "number" ? date : Date.parse(date);
  const passed = Math.max(0, (now - then) / 1000);
  return passed < 2 ? "just now" : `${seconds(Math.floor(passed))} ago`;
}

export const clock = (date: string | number): string => new Date(date).toLocaleString("en-GB", { hour12: false });

export const plural = (count: number, word: string, many = `${word}s`): string =>
  `${number(count)} ${count === 1 ? word : many}`;

/** JSON with its members in one order, so that equal values have equal texts. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (value && typeof value === "object")
    return `{${Object.entries(value)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`)
      .join()}}`;
  return JSON.stringify(value) ?? "null";
}

/** A fingerprint of a value: FNV-1a of 64 bits over its canonical JSON. */
export function fingerprint(value: unknown): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(canonical(value)))
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, "0");
}

/** What differs between two objects, member by member. */
export function differences(before: Record<string, unknown>, after: Record<string, unknown>): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].filter((name) => canonical(before[name]) !== canonical(after[name])).sort();
}

export interface DiffLine {
  kind: "same" | "gone" | "new";
  text: string;
}

/** The lines of two texts, matched by their longest common subsequence. */
export function lines(before: string, after: string): DiffLine[] {
  const [one, other] = [before.split("\n"), after.split("\n")];
  // A table of this size takes too long to fill; then the whole texts are shown.
  if (one.length * other.length > 400_000)
    return [
      ...one.map((text) => ({ kind: "gone", text }) as DiffLine),
      ...other.map((text) => ({ kind: "new", text }) as DiffLine),
    ];
  const table = Array.from({ length: one.length + 1 }, () => new Uint32Array(other.length + 1));
  for (let at = one.length - 1; at >= 0; at--)
    for (let to = other.length - 1; to >= 0; to--)
      table[at]![to] =
        one[at] === other[to] ? table[at + 1]![to + 1]! + 1 : Math.max(table[at + 1]![to]!, table[at]![to + 1]!);
  const found: DiffLine[] = [];
  let [at, to] = [0, 0];
  while (at < one.length || to < other.length) {
    if (at < one.length && to < other.length && one[at] === other[to]) {
      found.push({ kind: "same", text: one[at]! });
      at += 1;
      to += 1;
    } else if (to >= other.length || (at < one.length && table[at + 1]![to]! >= table[at]![to + 1]!)) {
      found.push({ kind: "gone", text: one[at]! });
      at += 1;
    } else {
      found.push({ kind: "new", text: other[to]! });
      to += 1;
    }
  }
  return found;
}

/** Whether a value of a document can be shown as a link: an address of the web, and nothing that runs. */
export const isLink = (value: unknown): value is string =>
  typeof value === "string" && /^https?:\/\/[^\s<>"']+$/i.test(value) && value.length < 2048;

export const isImage = (value: unknown): value is string =>
  isLink(value) && /\.(png|jpe?g|gif|webp|avif|svg)(\?|#|$)/i.test(value);
