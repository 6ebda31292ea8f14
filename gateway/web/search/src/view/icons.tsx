// The page's icons, drawn in the colour of the text around them. They say nothing that words beside them do not.
import type { JSX } from "preact";

const PATHS = {
  search: "M11 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14Zm5 12 4.5 4.5",
  close: "m6 6 12 12M18 6 6 18",
  filters: "M4 7h10M18 7h2M4 17h2M10 17h10M14 7a2 2 0 1 0 4 0 2 2 0 0 0-4 0ZM6 17a2 2 0 1 0 4 0 2 2 0 0 0-4 0Z",
  list: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
  card: "M4 5h16v5H4zM4 14h16v5H4z",
  grid: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  table: "M4 5h16v14H4zM4 10h16M4 14.5h16M10 5v14",
  auto: "M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16ZM12 4v16M12 8.5l5.5-2M12 12.5l7.8-2.8M12 16.5l7-2.5",
  light: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M19 5l-1.4 1.4M6.4 17.6 5 19",
  dark: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5Z",
  previous: "m14.5 6-6 6 6 6",
  next: "m9.5 6 6 6-6 6",
  down: "m6 9.5 6 6 6-6",
  open: "M14 4h6v6M20 4l-9 9M18 14v5a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1h5",
  check: "m5 12.5 4.5 4.5L19 7.5",
  key: "M8 11a4 4 0 1 1 0 8 4 4 0 0 1 0-8ZM10.8 12.2 20 3M16 7l3 3",
  lost: "M11 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14Zm5 12 4.5 4.5M8.5 8.5l5 5M13.5 8.5l-5 5",
  broken: "M12 4 2.8 19.5h18.4L12 4ZM12 10v4.5M12 17v.01",
  empty: "M4 13l2.5-8h11L20 13v6H4v-6Zm0 0h5a3 3 0 0 0 6 0h5",
} as const;

export function Icon({ name, ...rest }: { name: keyof typeof PATHS } & JSX.SVGAttributes<SVGSVGElement>) {
  return (
    <svg class="icon" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" {...rest}>
      <path d={PATHS[name]} />
    </svg>
  );
}

/** A star, whole or empty. */
export function Star({ full }: { full: boolean }) {
  return (
    <svg class={full ? "star full" : "star"} viewBox="0 0 24 24" width="18" height="18" aria-hidden="true">
      <path d="m12 3 2.7 5.8 6.3.8-4.6 4.3 1.2 6.2L12 17l-5.6 3.1 1.2-6.2L3 9.6l6.3-.8L12 3Z" />
    </svg>
  );
}
