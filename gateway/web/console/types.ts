// What the gateway answers, as far as the console reads it.

export interface TopologyNode {
  id: string;
  url: string;
  group: number;
  capacity: number;
  state: string;
  hints: { count: number; bytes: number; copyNeeded: boolean };
}
export interface TopologyIndex {
  uid: string;
  nodeUid: string;
  primaryKey: string | null;
  shards: number;
  settingsVersion: number;
}
export interface Topology {
  version: number;
  replicationFactor: number;
  shards: number;
  nodes: TopologyNode[];
  indexes: TopologyIndex[];
  coordinator: { pod: string; pods: string[]; leads: string[]; storeReached: boolean };
}
export interface Shards {
  version: number;
  placements: { shards: number; groups: { group: number; owners: string[][] }[] }[];
}
export interface IndexStats {
  numberOfDocuments: number;
  isIndexing: boolean;
  fieldDistribution: Record<string, number>;
}
export interface Stats {
  databaseSize: number;
  lastUpdate: string | null;
  indexes: Record<string, IndexStats>;
}
export interface Task {
  uid: number;
  indexUid: string | null;
  status: string;
  type: string;
  canceledBy: number | null;
  details: Record<string, unknown> | null;
  error: { message: string; code: string } | null;
  duration: string | null;
  enqueuedAt: string;
  startedAt: string | null;
  finishedAt: string | null;
}
export interface Page<Row> {
  results: Row[];
  total?: number;
  next?: number | null;
}
export interface Operation {
  operation: number;
  kind: string;
  status: string;
  phase: string | null;
  progress: {
    documentsMoved: number;
    documentsTotal: number;
    bytesMoved: number;
    documentsPerSecond: number;
    secondsLeft: number | null;
    deltaDocuments: number;
  } | null;
  shards: number[] | null;
  reason: string | null;
  startedAt: string | null;
  finishedAt: string | null;
}
export interface Alias {
  name: string;
  kind: string;
  target?: string;
  targets?: string[];
  version: number;
  owner: string | null;
  createdAt: string;
  history: { version: number; until: string; target?: string; targets?: string[] }[];
}
export interface Hits {
  hits: Record<string, unknown>[];
  processingTimeMs: number;
  estimatedTotalHits?: number;
  totalHits?: number;
  facetDistribution?: Record<string, Record<string, number>>;
  facetStats?: Record<string, { min: number; max: number }>;
}
export interface Explained {
  resolvedUid: string;
  plan: {
    alias: { name: string } | null;
    narrowed: boolean;
    narrowingReason: string;
    targetShards: (number | string)[];
    group: { id: number; reason: string } | null;
    nodes: Record<string, string>;
    legDepth: number;
    hedge: { armed: boolean; triggerMs: number | null };
    coalescing: boolean;
    tenant: unknown;
    estimatedP95Ms: number | null;
    settingsVersion: number;
    broadcastPending: boolean;
  };
  warnings: { code: string; message: string }[];
  result?: Hits;
  execution?: {
    legs: { node: string; shards: (number | string)[]; status: number | null; milliseconds: number }[];
    retries: number;
    hedges: number;
    missingShards: (number | string)[];
  };
}
export type Settings = Record<string, unknown>;
