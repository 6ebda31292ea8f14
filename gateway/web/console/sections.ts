// Every section, in the order of the navigation; each is loaded when it is first shown.
import type { ComponentType } from "preact";

export interface SectionProps {
  /** What follows the section's name in the address. */
  rest: string[];
  readOnly: boolean;
}

export interface Section {
  name: string;
  title: string;
  load: () => Promise<{ default: ComponentType<SectionProps> }>;
}

export const SECTIONS: [string, Section[]][] = [
  [
    "Cluster",
    [
      { name: "overview", title: "Overview", load: () => import("./sections/overview") },
      { name: "topology", title: "Topology", load: () => import("./sections/topology") },
      { name: "metrics", title: "Metrics", load: () => import("./sections/metrics") },
      { name: "tasks", title: "Tasks", load: () => import("./sections/tasks") },
    ],
  ],
  [
    "Data",
    [
      { name: "indexes", title: "Indexes", load: () => import("./sections/indexes") },
      { name: "aliases", title: "Aliases", load: () => import("./sections/aliases") },
      { name: "documents", title: "Documents", load: () => import("./sections/documents") },
      { name: "rollover", title: "Rollover", load: () => import("./sections/rollover") },
      { name: "changes", title: "Changes", load: () => import("./sections/changes") },
    ],
  ],
  [
    "Search",
    [
      { name: "sandbox", title: "Query sandbox", load: () => import("./sections/sandbox") },
      { name: "request", title: "Requests", load: () => import("./sections/request") },
      { name: "canaries", title: "Canaries", load: () => import("./sections/canaries") },
      { name: "shadow", title: "Shadow", load: () => import("./sections/shadow") },
    ],
  ],
  [
    "Gateway",
    [
      { name: "access", title: "Keys and tenants", load: () => import("./sections/access") },
      { name: "configuration", title: "Configuration", load: () => import("./sections/configuration") },
      { name: "audit", title: "Audit", load: () => import("./sections/audit") },
    ],
  ],
];
