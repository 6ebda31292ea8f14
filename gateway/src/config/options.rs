//! Raw options: the text of flags, environment and file, unchecked.
//! - The flags and the file have the same names; the file's other keys are refused.
//! - Only keys and the store's URL, which may hold a password, are read from the environment.

use argh::FromArgs;
use serde::{Deserialize, Deserializer, Serialize};

const MASTER_KEY_VARIABLE: &str = "MIROIR_MASTER_KEY";
const NODE_MASTER_KEY_VARIABLE: &str = "MIROIR_NODE_MASTER_KEY";
const ADMIN_KEY_VARIABLE: &str = "MIROIR_ADMIN_API_KEY";
const SEAL_KEY_VARIABLE: &str = "ADMIN_SESSION_SEAL_KEY";
const SEARCH_UI_SECRET_VARIABLE: &str = "SEARCH_UI_JWT_SECRET";
const SEARCH_UI_PREVIOUS_SECRET_VARIABLE: &str = "SEARCH_UI_JWT_SECRET_PREVIOUS";
const SEARCH_UI_SHARED_KEY_VARIABLE: &str = "SEARCH_UI_SHARED_KEY";
const STORE_VARIABLE: &str = "MIROIR_STORE";

/// Miroir: many Meilisearch nodes behind one plain Meilisearch API.
#[derive(FromArgs, Debug)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
pub(crate) struct Flags {
    /// address to serve clients on (default 127.0.0.1:7700)
    #[argh(option, arg_name = "IP:PORT")]
    pub(crate) listen: Option<String>,
    /// address to serve Prometheus metrics on, at /metrics, or "off" (default 127.0.0.1:9090)
    #[argh(option, arg_name = "IP:PORT")]
    pub(crate) metrics_listen: Option<String>,
    /// data cores, one thread each (default: the processors available)
    #[argh(option, arg_name = "N")]
    pub(crate) cores: Option<String>,
    /// the io_uring runtime; auto is monoio (default auto)
    #[argh(option, arg_name = "auto|monoio|glommio")]
    pub(crate) runtime: Option<String>,
    /// one node, repeated; its id stays with its data for ever
    #[argh(option, arg_name = "ID=URL[,group=N][,capacity=W]")]
    pub(crate) node: Vec<String>,
    /// shards of a new index: about 8 times the most nodes that a group will ever have (default 64)
    #[argh(option, arg_name = "S")]
    pub(crate) shards: Option<String>,
    /// nodes of a group that hold each shard (default 1)
    #[argh(option, arg_name = "R")]
    pub(crate) replication_factor: Option<String>,
    /// where the gateway keeps tasks and the registry of indexes: sled:PATH on this machine for one pod, a
    /// redis:// URL for several; one with a password is better given as MIROIR_STORE (default
    /// sled:./miroir-data)
    #[argh(option, arg_name = "sled:PATH|redis://...")]
    pub(crate) store: Option<String>,
    /// name of this pod among those of one store (default: a new one at each start)
    #[argh(option, arg_name = "NAME")]
    pub(crate) pod_id: Option<String>,
    /// name of another pod on the same store, repeated; more than one pod needs Redis
    #[argh(option, arg_name = "NAME")]
    pub(crate) peer: Vec<String>,
    /// DNS SRV record whose targets are the pods, and the server to ask; more than one target needs Redis
    #[argh(option, arg_name = "NAME[@ADDRESS:PORT]")]
    pub(crate) peer_service: Option<String>,
    /// the key clients' keys derive from; better given as MIROIR_MASTER_KEY
    #[argh(option, arg_name = "KEY")]
    pub(crate) master_key: Option<String>,
    /// the nodes' master key; better given as MIROIR_NODE_MASTER_KEY
    #[argh(option, arg_name = "KEY")]
    pub(crate) node_master_key: Option<String>,
    /// the key of the management API; better given as MIROIR_ADMIN_API_KEY
    #[argh(option, arg_name = "KEY")]
    pub(crate) admin_key: Option<String>,
    /// in production a master key of at least 16 bytes must be given (default development)
    #[argh(option, arg_name = "development|production")]
    pub(crate) env: Option<String>,
    /// answer without a shard that no node serves, or refuse (default partial)
    #[argh(option, arg_name = "partial|error")]
    pub(crate) unavailable_shard_policy: Option<String>,
    /// whether owners that are down count towards a write's quorum: with hinted they do, for they have a
    /// durable hint (default hinted)
    #[argh(option, arg_name = "hinted|strict")]
    pub(crate) write_quorum: Option<String>,
    /// what is kept for a node that is down; past it the node is copied anew (default 256MB)
    #[argh(option, arg_name = "BYTES")]
    pub(crate) hint_limit: Option<String>,
    /// largest request body, as it comes and decompressed (default 100MB)
    #[argh(option, arg_name = "BYTES")]
    pub(crate) body_limit: Option<String>,
    /// longest time for a request (default 60s)
    #[argh(option, arg_name = "TIME")]
    pub(crate) request_timeout: Option<String>,
    /// longest time for one node's part of it (default 30s)
    #[argh(option, arg_name = "TIME")]
    pub(crate) node_timeout: Option<String>,
    /// ask another copy when a node is late (default on)
    #[argh(option, arg_name = "on|off")]
    pub(crate) hedging: Option<String>,
    /// prefer the nodes that answer fastest (default on)
    #[argh(option, arg_name = "on|off")]
    pub(crate) adaptive_selection: Option<String>,
    /// identical searches at one time share one scatter; one that comes within 50 ms of the first gets its
    /// answer (default on)
    #[argh(option, arg_name = "on|off")]
    pub(crate) query_coalescing: Option<String>,
    /// share of searches in which a leg may run dry and be asked again; 0 asks each leg for the whole page
    /// (default 0.005)
    #[argh(option, arg_name = "SHARE")]
    pub(crate) leg_miss_rate: Option<String>,
    /// a filter on the primary key (`=`, `IN`, under `AND`, up to 128 keys) asks only the shards of these keys
    /// (default on)
    #[argh(option, arg_name = "on|off")]
    pub(crate) shard_aware_planning: Option<String>,
    /// an alias may only stand for indexes that are there (default on)
    #[argh(option, arg_name = "on|off")]
    pub(crate) alias_require_target: Option<String>,
    /// indexes may have policies by which documents end (default on)
    #[argh(option, arg_name = "on|off")]
    pub(crate) ttl: Option<String>,
    /// keep a stream of all changes of documents for GET /_miroir/changes; a sink switches it on as well (default
    /// off)
    #[argh(option, arg_name = "on|off")]
    pub(crate) cdc: Option<String>,
    /// where changes are delivered, repeated; batch is in events (default 100), flush how long a batch waits until
    /// it is full (default: nowhere)
    #[argh(option, arg_name = "webhook|nats=URL[,body=on][,batch=N][,flush=TIME]")]
    pub(crate) cdc_sink: Vec<String>,
    /// what becomes of changes that sinks have not got when the stream is over 1 GiB: the oldest are dropped, or
    /// writes wait (default drop)
    #[argh(option, arg_name = "drop|block")]
    pub(crate) cdc_overflow: Option<String>,
    /// tell of deletions of documents that have ended (default off)
    #[argh(option, arg_name = "on|off")]
    pub(crate) cdc_ttl_deletes: Option<String>,
    /// how reads with the header X-Miroir-Session see the session's writes: they wait for them, or go to the
    /// group that took them (default block)
    #[argh(option, arg_name = "block|route_pin")]
    pub(crate) session_mode: Option<String>,
    /// what names the tenant of a read, whose replica group serves it: the header X-Miroir-Tenant, the API key
    /// by the table of tenants, or either of them (default off)
    #[argh(option, arg_name = "off|header|api-key|explicit")]
    pub(crate) tenant_affinity: Option<String>,
    /// where a tenant reads that the table assigns to no group: where its name hashes to, anywhere, or nowhere
    /// (default hash)
    #[argh(option, arg_name = "hash|random|reject")]
    pub(crate) tenant_fallback: Option<String>,
    /// groups that serve the tenants that the table assigns to them, and nobody else (default none)
    #[argh(option, arg_name = "N,...")]
    pub(crate) tenant_dedicated_groups: Option<String>,
    /// a cluster that gets a copy of a share of the searches (0.05 unless given) and whose answers are compared,
    /// repeated; its key is in the variable that is named; private addresses take --allowed-ip-networks
    /// (default off)
    #[argh(option, arg_name = "name=NAME,url=URL[,sample=SHARE][,key-env=VARIABLE]")]
    pub(crate) shadow: Vec<String>,
    /// requests a core works on at once (default 1024)
    #[argh(option, arg_name = "N")]
    pub(crate) in_flight_max: Option<String>,
    /// longest request line (default 16KiB)
    #[argh(option, arg_name = "BYTES")]
    pub(crate) request_line_limit: Option<String>,
    /// largest request line and headers together (default 32KiB)
    #[argh(option, arg_name = "BYTES")]
    pub(crate) head_limit: Option<String>,
    /// headers of a request (default 96)
    #[argh(option, arg_name = "N")]
    pub(crate) headers_max: Option<String>,
    /// longest wait for the first byte on a new connection (default 10s)
    #[argh(option, arg_name = "TIME")]
    pub(crate) first_byte_timeout: Option<String>,
    /// longest time for a request line and its headers to arrive (default 10s)
    #[argh(option, arg_name = "TIME")]
    pub(crate) head_timeout: Option<String>,
    /// longest wait for the next request on a connection (default 75s)
    #[argh(option, arg_name = "TIME")]
    pub(crate) idle_timeout: Option<String>,
    /// longest pause within a body, either way (default 10s)
    #[argh(option, arg_name = "TIME")]
    pub(crate) body_gap_timeout: Option<String>,
    /// longest time for a whole body, either way (default 5m)
    #[argh(option, arg_name = "TIME")]
    pub(crate) body_timeout: Option<String>,
    /// requests on one connection before it is closed (default 1000000)
    #[argh(option, arg_name = "N")]
    pub(crate) requests_per_connection_max: Option<String>,
    /// client connections of a core (default 16384)
    #[argh(option, arg_name = "N")]
    pub(crate) connections_max: Option<String>,
    /// client connections of a core from one address (default 4096)
    #[argh(option, arg_name = "N")]
    pub(crate) connections_per_address_max: Option<String>,
    /// how long searches may keep each other waiting before some are answered 503 (default 50ms)
    #[argh(option, arg_name = "TIME")]
    pub(crate) queue_delay_max: Option<String>,
    /// queries of one multi-search (default 100)
    #[argh(option, arg_name = "N")]
    pub(crate) multi_search_queries_max: Option<String>,
    /// levels of arrays and objects in a JSON body (default 128)
    #[argh(option, arg_name = "N")]
    pub(crate) json_depth_max: Option<String>,
    /// largest offset and limit together; the default refuses no page (default 4294967295)
    #[argh(option, arg_name = "N")]
    pub(crate) page_depth_max: Option<String>,
    /// how long requests in flight may take to end on SIGTERM (default 10s)
    #[argh(option, arg_name = "TIME")]
    pub(crate) drain_timeout: Option<String>,
    /// longest wait for requests that were planned before shards moved (default 30s)
    #[argh(option, arg_name = "TIME")]
    pub(crate) migration_drain_timeout: Option<String>,
    /// move shards without comparing them a last time (default off)
    #[argh(option, arg_name = "on|off")]
    pub(crate) migration_skip_delta_pass: Option<String>,
    /// documents a second that nodes are given while shards move (default 0: as many as they take)
    #[argh(option, arg_name = "N")]
    pub(crate) migration_throttle: Option<String>,
    /// how long a node may be down before it is removed by force, where others have copies of all it had (default off)
    #[argh(option, arg_name = "TIME|off")]
    pub(crate) replace_after: Option<String>,
    /// let the number of shards of an index be changed (default on)
    #[argh(option, arg_name = "on|off")]
    pub(crate) resharding: Option<String>,
    /// how long copies from before a change of the number of shards are kept and written to; 0s: not at all (default
    /// 48h)
    #[argh(option, arg_name = "TIME")]
    pub(crate) reshard_keep: Option<String>,
    /// hours of the day (UTC) in which long work may begin that names them, repeated
    #[argh(option, arg_name = "NAME=HH:MM-HH:MM")]
    pub(crate) schedule_window: Vec<String>,
    /// certificates to serve TLS with, as PEM; read again on SIGHUP
    #[argh(option, arg_name = "FILE")]
    pub(crate) tls_certificate: Option<String>,
    /// the private key of the first of them, as PEM; read again on SIGHUP
    #[argh(option, arg_name = "FILE")]
    pub(crate) tls_key: Option<String>,
    /// authorities one of which must have signed a client's certificate, as PEM
    #[argh(option, arg_name = "FILE")]
    pub(crate) tls_client_ca: Option<String>,
    /// authorities that sign the certificates of https nodes, as PEM (default: the public ones)
    #[argh(option, arg_name = "FILE")]
    pub(crate) node_ca: Option<String>,
    /// which requests are logged; errors are answers of 500 or more (default off)
    #[argh(option, arg_name = "off|errors|all")]
    pub(crate) log_requests: Option<String>,
    /// whether logged requests show their query strings (default off)
    #[argh(option, arg_name = "off|on")]
    pub(crate) log_queries: Option<String>,
    /// searches that take longer are logged (default off)
    #[argh(option, arg_name = "TIME|off")]
    pub(crate) slow_query_log: Option<String>,
    /// collector of OpenTelemetry traces, which takes OTLP over HTTP as JSON (default off)
    #[argh(option, arg_name = "URL|off")]
    pub(crate) otlp_endpoint: Option<String>,
    /// share of the requests that come without a trace of their own and are traced (default 0.01)
    #[argh(option, arg_name = "SHARE")]
    pub(crate) trace_sample: Option<String>,
    /// where POST /dumps writes one dump of the whole cluster (default ./dumps)
    #[argh(option, arg_name = "DIR")]
    pub(crate) dump_dir: Option<String>,
    /// a dump that is imported once, at the first start with it; none of its indexes may be there
    #[argh(option, arg_name = "FILE")]
    pub(crate) import_dump: Option<String>,
    /// where backups are written, a folder each (default ./backups)
    #[argh(option, arg_name = "DIR")]
    pub(crate) backup_dir: Option<String>,
    /// time from one backup of the whole cluster to the next (default off)
    #[argh(option, arg_name = "TIME|off")]
    pub(crate) backup_interval: Option<String>,
    /// complete backups that are kept; older ones are removed once a newer one is complete (default 7)
    #[argh(option, arg_name = "N")]
    pub(crate) backup_keep: Option<String>,
    /// networks beside the public ones that webhooks and shadows may reach, with commas (default none)
    #[argh(option, arg_name = "CIDR,...")]
    pub(crate) allowed_ip_networks: Option<String>,
    /// stamp documents with the time of their last write, and compare and repair their copies by it (default
    /// on)
    #[argh(option, arg_name = "on|off")]
    pub(crate) anti_entropy: Option<String>,
    /// time from one comparison of all copies to the next (default 6h)
    #[argh(option, arg_name = "TIME")]
    pub(crate) anti_entropy_interval: Option<String>,
    /// when to compare instead: minute, hour, day, month, weekday in UTC, such as "0 */6 * * *" (default off)
    #[argh(option, arg_name = "CRON|off")]
    pub(crate) anti_entropy_schedule_cron: Option<String>,
    /// shards after which such a comparison ends, the next one goes on there; 0 is all (default 0)
    #[argh(option, arg_name = "N")]
    pub(crate) anti_entropy_shards_per_pass: Option<String>,
    /// copies of a shard that are read at the same time (default 2)
    #[argh(option, arg_name = "N")]
    pub(crate) anti_entropy_max_read_concurrency: Option<String>,
    /// documents that are read of a node by one request of a comparison (default 1000)
    #[argh(option, arg_name = "N")]
    pub(crate) anti_entropy_fingerprint_batch_size: Option<String>,
    /// repair what a comparison by itself finds; off only counts it (default on)
    #[argh(option, arg_name = "on|off")]
    pub(crate) anti_entropy_auto_repair: Option<String>,
    /// time between two looks at whether nodes' settings were changed behind the gateway (default 300s)
    #[argh(option, arg_name = "TIME")]
    pub(crate) settings_drift_interval: Option<String>,
    /// the console at /_miroir/admin: none, one that changes nothing, or all of it (default on)
    #[argh(option, arg_name = "off|read-only|on")]
    pub(crate) admin_ui: Option<String>,
    /// networks of proxies whose X-Forwarded-For names the client, with commas (default none)
    #[argh(option, arg_name = "CIDR,...")]
    pub(crate) trusted_proxies: Option<String>,
    /// search pages at /ui/search/INDEX for the indexes that are given one (default on)
    #[argh(option, arg_name = "on|off")]
    pub(crate) search_ui: Option<String>,
    /// a TOML file with options of the same names, those that begin alike also in a table; flags win
    #[argh(option, arg_name = "FILE")]
    pub(crate) config: Option<String>,
    /// print the options in force as TOML, keys hidden, and exit
    #[argh(switch)]
    pub(crate) print_config: bool,
    /// check the options and the files they name, and exit
    #[argh(switch)]
    pub(crate) check_config: bool,
    /// print the version and exit
    #[argh(switch)]
    pub(crate) version: bool,
    /// take over port and store of the gateway with this process id, which is asked to end, without a request lost;
    /// SIGUSR2 starts the program again with this option
    #[argh(option, arg_name = "PID")]
    pub(crate) take_over: Option<String>,
    /// let tests make a request panic
    #[argh(switch, hidden_help)]
    pub(crate) test_faults: bool,
}

/// The options of one source, or of several sources combined.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct RawOptions {
    #[serde(deserialize_with = "text")]
    pub(crate) listen: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) metrics_listen: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) cores: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) runtime: Option<String>,
    pub(crate) node: Option<Vec<String>>,
    #[serde(deserialize_with = "text")]
    pub(crate) shards: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) replication_factor: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) store: Option<String>,
    pub(crate) pod_id: Option<String>,
    pub(crate) peer: Option<Vec<String>>,
    pub(crate) peer_service: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) master_key: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) node_master_key: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) admin_key: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) env: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) unavailable_shard_policy: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) write_quorum: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) hint_limit: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) body_limit: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) request_timeout: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) node_timeout: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) hedging: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) adaptive_selection: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) query_coalescing: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) leg_miss_rate: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) shard_aware_planning: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) alias_require_target: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) ttl: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) cdc: Option<String>,
    pub(crate) cdc_sink: Option<Vec<String>>,
    #[serde(deserialize_with = "text")]
    pub(crate) cdc_overflow: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) cdc_ttl_deletes: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) session_mode: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) tenant_affinity: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) tenant_fallback: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) tenant_dedicated_groups: Option<String>,
    pub(crate) shadow: Option<Vec<String>>,
    #[serde(deserialize_with = "text")]
    pub(crate) in_flight_max: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) request_line_limit: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) head_limit: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) headers_max: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) first_byte_timeout: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) head_timeout: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) idle_timeout: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) body_gap_timeout: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) body_timeout: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) requests_per_connection_max: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) connections_max: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) connections_per_address_max: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) queue_delay_max: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) multi_search_queries_max: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) json_depth_max: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) page_depth_max: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) drain_timeout: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) migration_drain_timeout: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) migration_skip_delta_pass: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) migration_throttle: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) replace_after: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) resharding: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) reshard_keep: Option<String>,
    pub(crate) schedule_window: Option<Vec<String>>,
    #[serde(deserialize_with = "text")]
    pub(crate) tls_certificate: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) tls_key: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) tls_client_ca: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) node_ca: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) log_requests: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) log_queries: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) slow_query_log: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) otlp_endpoint: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) trace_sample: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) dump_dir: Option<String>,
    pub(crate) import_dump: Option<String>,
    pub(crate) backup_dir: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) backup_interval: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) backup_keep: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) allowed_ip_networks: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) anti_entropy: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) anti_entropy_interval: Option<String>,
    pub(crate) anti_entropy_schedule_cron: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) anti_entropy_shards_per_pass: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) anti_entropy_max_read_concurrency: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) anti_entropy_fingerprint_batch_size: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) anti_entropy_auto_repair: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) settings_drift_interval: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) admin_ui: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) trusted_proxies: Option<String>,
    /// Given in the environment alone.
    #[serde(skip)]
    pub(crate) admin_session_seal_key: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(crate) search_ui: Option<String>,
    /// This one and the next two are given in the environment alone.
    #[serde(skip)]
    pub(crate) search_ui_jwt_secret: Option<String>,
    #[serde(skip)]
    pub(crate) search_ui_jwt_secret_previous: Option<String>,
    #[serde(skip)]
    pub(crate) search_ui_shared_key: Option<String>,
}

impl RawOptions {
    /// A variable that is set but empty counts as not set, since container tools pass empty ones on.
    pub(crate) fn from_environment(environment: impl Fn(&str) -> Option<String>) -> RawOptions {
        let variable = |name| environment(name).filter(|value| !value.is_empty());
        RawOptions {
            master_key: variable(MASTER_KEY_VARIABLE),
            node_master_key: variable(NODE_MASTER_KEY_VARIABLE),
            admin_key: variable(ADMIN_KEY_VARIABLE),
            admin_session_seal_key: variable(SEAL_KEY_VARIABLE),
            search_ui_jwt_secret: variable(SEARCH_UI_SECRET_VARIABLE),
            search_ui_jwt_secret_previous: variable(SEARCH_UI_PREVIOUS_SECRET_VARIABLE),
            search_ui_shared_key: variable(SEARCH_UI_SHARED_KEY_VARIABLE),
            store: variable(STORE_VARIABLE),
            ..RawOptions::default()
        }
    }

    /// The names of the options that are given here.
    pub(crate) fn given(&self) -> Vec<String> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(options)) => {
                let given = options.into_iter().filter(|(_, value)| !value.is_null());
                given.map(|(name, _)| name).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Makes what goes over all options, so that each is named once. `single` ones have a flag of one value, `repeated` ones
/// a flag that is given as often as wanted, and `environment` ones no flag.
macro_rules! over_all_options {
    (single: $($single:ident)*; repeated: $($repeated:ident)*; environment: $($environment:ident)*;) => {
        impl RawOptions {
            pub(crate) fn from_flags(flags: Flags) -> RawOptions {
                RawOptions {
                    $($single: flags.$single,)*
                    $($repeated: (!flags.$repeated.is_empty()).then_some(flags.$repeated),)*
                    $($environment: None,)*
                }
            }

            /// These options, completed by those of a source of lower rank.
            pub(crate) fn or(self, lower: RawOptions) -> RawOptions {
                RawOptions {
                    $($single: self.$single.or(lower.$single),)*
                    $($repeated: self.$repeated.or(lower.$repeated),)*
                    $($environment: self.$environment.or(lower.$environment),)*
                }
            }
        }
    };
}

over_all_options! {
    single:
        listen metrics_listen cores runtime shards replication_factor store pod_id peer_service master_key
        node_master_key admin_key env unavailable_shard_policy write_quorum hint_limit body_limit
        request_timeout node_timeout hedging adaptive_selection query_coalescing alias_require_target ttl cdc
        cdc_overflow cdc_ttl_deletes leg_miss_rate shard_aware_planning session_mode tenant_affinity tenant_fallback
        tenant_dedicated_groups in_flight_max request_line_limit head_limit headers_max first_byte_timeout
        head_timeout idle_timeout body_gap_timeout body_timeout requests_per_connection_max connections_max
        connections_per_address_max queue_delay_max multi_search_queries_max json_depth_max page_depth_max
        drain_timeout migration_drain_timeout migration_skip_delta_pass migration_throttle replace_after resharding
        reshard_keep
        tls_certificate tls_key tls_client_ca node_ca log_requests log_queries slow_query_log otlp_endpoint trace_sample dump_dir
        import_dump backup_dir backup_interval backup_keep allowed_ip_networks anti_entropy anti_entropy_interval
        anti_entropy_schedule_cron anti_entropy_shards_per_pass anti_entropy_max_read_concurrency
        anti_entropy_fingerprint_batch_size anti_entropy_auto_repair
        settings_drift_interval admin_ui trusted_proxies search_ui;
    repeated: node peer shadow cdc_sink schedule_window;
    environment:
        admin_session_seal_key search_ui_jwt_secret search_ui_jwt_secret_previous search_ui_shared_key;
}

/// Reads a number or a text of the file; both are checked like the text of a flag.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a number")]
    enum Scalar {
        Text(String),
        Integer(i64),
        Fraction(f64),
    }
    Ok(Some(match Scalar::deserialize(deserializer)? {
        Scalar::Text(text) => text,
        Scalar::Integer(number) => number.to_string(),
        Scalar::Fraction(number) => number.to_string(),
    }))
}
