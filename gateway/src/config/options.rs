//! Raw options: what flags, environment and file say, as text and unchecked.
//! - The flags and the file have the same names; the file's other keys are refused.
//! - Only the three keys are read from the environment.

use argh::FromArgs;
use serde::{Deserialize, Deserializer};

const MASTER_KEY_VARIABLE: &str = "MIROIR_MASTER_KEY";
const NODE_MASTER_KEY_VARIABLE: &str = "MIROIR_NODE_MASTER_KEY";
const ADMIN_KEY_VARIABLE: &str = "MIROIR_ADMIN_API_KEY";

/// Miroir: many Meilisearch nodes behind one plain Meilisearch API.
#[derive(FromArgs, Debug)]
pub(super) struct Flags {
    /// address to serve clients on (default 127.0.0.1:7700)
    #[argh(option, arg_name = "IP:PORT")]
    pub(super) listen: Option<String>,
    /// address to serve metrics on, or "off" (default 127.0.0.1:9090)
    #[argh(option, arg_name = "IP:PORT")]
    pub(super) metrics_listen: Option<String>,
    /// data cores (default: the processors available)
    #[argh(option, arg_name = "N")]
    pub(super) cores: Option<String>,
    /// auto, monoio or glommio (default auto)
    #[argh(option, arg_name = "NAME")]
    pub(super) runtime: Option<String>,
    /// a node as ID=URL[,group=N][,capacity=W]; once for each node
    #[argh(option, arg_name = "NODE")]
    pub(super) node: Vec<String>,
    /// shards of a new index (default 64)
    #[argh(option, arg_name = "S")]
    pub(super) shards: Option<String>,
    /// copies of each shard in a group (default 1)
    #[argh(option, arg_name = "R")]
    pub(super) replication_factor: Option<String>,
    /// where the gateway keeps its state (default sled:./miroir-data)
    #[argh(option, arg_name = "sled:PATH")]
    pub(super) store: Option<String>,
    /// name of this pod among those of one store (default: a new one at each start)
    #[argh(option, arg_name = "NAME")]
    pub(super) pod_id: Option<String>,
    /// name of another pod on the same store, repeated; more than one pod needs Redis
    #[argh(option, arg_name = "NAME")]
    pub(super) peer: Vec<String>,
    /// the key clients' keys derive from; better given as MIROIR_MASTER_KEY
    #[argh(option, arg_name = "KEY")]
    pub(super) master_key: Option<String>,
    /// the nodes' master key; better given as MIROIR_NODE_MASTER_KEY
    #[argh(option, arg_name = "KEY")]
    pub(super) node_master_key: Option<String>,
    /// the key of the management API; better given as MIROIR_ADMIN_API_KEY
    #[argh(option, arg_name = "KEY")]
    pub(super) admin_key: Option<String>,
    /// development or production, which needs a master key of 16 bytes (default development)
    #[argh(option, arg_name = "NAME")]
    pub(super) env: Option<String>,
    /// partial or error: what a search answers when a shard cannot be reached (default partial)
    #[argh(option, arg_name = "POLICY")]
    pub(super) unavailable_shard_policy: Option<String>,
    /// hinted or strict: whether owners that are down count towards a write's quorum (default hinted)
    #[argh(option, arg_name = "QUORUM")]
    pub(super) write_quorum: Option<String>,
    /// what is kept for a node that is down; past it the node is copied anew (default 256MB)
    #[argh(option, arg_name = "BYTES")]
    pub(super) hint_limit: Option<String>,
    /// largest request body (default 100MB)
    #[argh(option, arg_name = "BYTES")]
    pub(super) body_limit: Option<String>,
    /// longest time for a request (default 60s)
    #[argh(option, arg_name = "TIME")]
    pub(super) request_timeout: Option<String>,
    /// longest time for one node's part of it (default 30s)
    #[argh(option, arg_name = "TIME")]
    pub(super) node_timeout: Option<String>,
    /// on or off: ask another copy when a node is late (default on)
    #[argh(option, arg_name = "SWITCH")]
    pub(super) hedging: Option<String>,
    /// on or off: prefer the nodes that answer fastest (default on)
    #[argh(option, arg_name = "SWITCH")]
    pub(super) adaptive_selection: Option<String>,
    /// block or route_pin: how a session's reads see its writes (default block)
    #[argh(option, arg_name = "MODE")]
    pub(super) session_mode: Option<String>,
    /// requests a core works on at once (default 1024)
    #[argh(option, arg_name = "N")]
    pub(super) in_flight_max: Option<String>,
    /// where dumps are written (default ./dumps)
    #[argh(option, arg_name = "DIR")]
    pub(super) dump_dir: Option<String>,
    /// networks beside the public ones that webhooks may reach, with commas (default none)
    #[argh(option, arg_name = "CIDR,...")]
    pub(super) allowed_ip_networks: Option<String>,
    /// on or off: compare and repair the copies of documents, and stamp writes for it (default on)
    #[argh(option, arg_name = "on|off")]
    pub(super) anti_entropy: Option<String>,
    /// time from one comparison of all copies to the next (default 6h)
    #[argh(option, arg_name = "TIME")]
    pub(super) anti_entropy_interval: Option<String>,
    /// time between two looks at whether nodes' settings were changed behind the gateway (default 300s)
    #[argh(option, arg_name = "TIME")]
    pub(super) settings_drift_interval: Option<String>,
    /// a TOML file with options of the same names
    #[argh(option, arg_name = "FILE")]
    pub(super) config: Option<String>,
    /// print the options in force as TOML and exit
    #[argh(switch)]
    pub(super) print_config: bool,
    /// print the version and exit
    #[argh(switch)]
    pub(super) version: bool,
    /// let tests make a request panic
    #[argh(switch, hidden_help)]
    pub(super) test_faults: bool,
}

/// Options of one source, or of several laid over each other.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct RawOptions {
    #[serde(deserialize_with = "text")]
    pub(super) listen: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) metrics_listen: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) cores: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) runtime: Option<String>,
    pub(super) node: Option<Vec<String>>,
    #[serde(deserialize_with = "text")]
    pub(super) shards: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) replication_factor: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) store: Option<String>,
    pub(super) pod_id: Option<String>,
    pub(super) peer: Option<Vec<String>>,
    #[serde(deserialize_with = "text")]
    pub(super) master_key: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) node_master_key: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) admin_key: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) env: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) unavailable_shard_policy: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) write_quorum: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) hint_limit: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) body_limit: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) request_timeout: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) node_timeout: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) hedging: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) adaptive_selection: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) session_mode: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) in_flight_max: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) dump_dir: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) allowed_ip_networks: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) anti_entropy: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) anti_entropy_interval: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) settings_drift_interval: Option<String>,
}

impl RawOptions {
    pub(super) fn from_flags(flags: Flags) -> RawOptions {
        RawOptions {
            listen: flags.listen,
            metrics_listen: flags.metrics_listen,
            cores: flags.cores,
            runtime: flags.runtime,
            node: (!flags.node.is_empty()).then_some(flags.node),
            shards: flags.shards,
            replication_factor: flags.replication_factor,
            store: flags.store,
            pod_id: flags.pod_id,
            peer: (!flags.peer.is_empty()).then_some(flags.peer),
            master_key: flags.master_key,
            node_master_key: flags.node_master_key,
            admin_key: flags.admin_key,
            env: flags.env,
            unavailable_shard_policy: flags.unavailable_shard_policy,
            write_quorum: flags.write_quorum,
            hint_limit: flags.hint_limit,
            body_limit: flags.body_limit,
            request_timeout: flags.request_timeout,
            node_timeout: flags.node_timeout,
            hedging: flags.hedging,
            adaptive_selection: flags.adaptive_selection,
            session_mode: flags.session_mode,
            in_flight_max: flags.in_flight_max,
            dump_dir: flags.dump_dir,
            allowed_ip_networks: flags.allowed_ip_networks,
            anti_entropy: flags.anti_entropy,
            anti_entropy_interval: flags.anti_entropy_interval,
            settings_drift_interval: flags.settings_drift_interval,
        }
    }

    /// A variable that is set but empty counts as not set: that is what container tools pass on.
    pub(super) fn from_environment(environment: impl Fn(&str) -> Option<String>) -> RawOptions {
        let variable = |name| environment(name).filter(|value| !value.is_empty());
        RawOptions {
            master_key: variable(MASTER_KEY_VARIABLE),
            node_master_key: variable(NODE_MASTER_KEY_VARIABLE),
            admin_key: variable(ADMIN_KEY_VARIABLE),
            ..RawOptions::default()
        }
    }

    /// These options, and the lower source's where these say nothing.
    pub(super) fn or(self, lower: RawOptions) -> RawOptions {
        RawOptions {
            listen: self.listen.or(lower.listen),
            metrics_listen: self.metrics_listen.or(lower.metrics_listen),
            cores: self.cores.or(lower.cores),
            runtime: self.runtime.or(lower.runtime),
            node: self.node.or(lower.node),
            shards: self.shards.or(lower.shards),
            replication_factor: self.replication_factor.or(lower.replication_factor),
            store: self.store.or(lower.store),
            pod_id: self.pod_id.or(lower.pod_id),
            peer: self.peer.or(lower.peer),
            master_key: self.master_key.or(lower.master_key),
            node_master_key: self.node_master_key.or(lower.node_master_key),
            admin_key: self.admin_key.or(lower.admin_key),
            env: self.env.or(lower.env),
            unavailable_shard_policy: self.unavailable_shard_policy.or(lower.unavailable_shard_policy),
            write_quorum: self.write_quorum.or(lower.write_quorum),
            hint_limit: self.hint_limit.or(lower.hint_limit),
            body_limit: self.body_limit.or(lower.body_limit),
            request_timeout: self.request_timeout.or(lower.request_timeout),
            node_timeout: self.node_timeout.or(lower.node_timeout),
            hedging: self.hedging.or(lower.hedging),
            adaptive_selection: self.adaptive_selection.or(lower.adaptive_selection),
            session_mode: self.session_mode.or(lower.session_mode),
            in_flight_max: self.in_flight_max.or(lower.in_flight_max),
            dump_dir: self.dump_dir.or(lower.dump_dir),
            allowed_ip_networks: self.allowed_ip_networks.or(lower.allowed_ip_networks),
            anti_entropy: self.anti_entropy.or(lower.anti_entropy),
            anti_entropy_interval: self.anti_entropy_interval.or(lower.anti_entropy_interval),
            settings_drift_interval: self.settings_drift_interval.or(lower.settings_drift_interval),
        }
    }
}

/// The file may give a number or a text; both are checked as the flag's text is.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a whole number")]
    enum Scalar {
        Text(String),
        Integer(i64),
    }
    Ok(Some(match Scalar::deserialize(deserializer)? {
        Scalar::Text(text) => text,
        Scalar::Integer(number) => number.to_string(),
    }))
}
