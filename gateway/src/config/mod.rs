//! Configuration: flags over environment over file over defaults, checked once into one `Config`.
//! - Nothing else in the gateway reads the environment or the file.
//! - Every error is one line with the option, the value and what is allowed.
//! - Keys are never printed, neither by `Debug` nor in errors.

pub mod capabilities;
pub mod cdc;
pub(crate) mod client_limits;
pub(crate) mod file;
pub mod limits;
#[cfg(test)]
mod option_table;
pub(crate) mod options;
pub(crate) mod passes;
pub(crate) mod print;
pub mod schedule_window;
pub(crate) mod shadow;
pub(crate) mod tenants;
#[cfg(test)]
mod tests;
pub(crate) mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;
use ipnet::IpNet;
pub use protocol::auth::Secret;
use store::StoreLocation;

pub use crate::config::cdc::{CdcConfig, CdcOverflow, CdcSink, SinkKind};
pub use crate::config::client_limits::{EdgeConfig, LogRequests};
pub use crate::config::passes::{PassConfig, Schedule};
pub use crate::config::schedule_window::ScheduleWindow;
pub use crate::config::shadow::ShadowConfig;
pub use crate::config::tenants::{TenantAffinity, TenantConfig, TenantFallback};
use file::ConfigFile;
use limits::{
    BACKUPS_KEPT_DEFAULT, BACKUPS_MAX, CONSOLE_SEAL_KEY_BYTES_MIN, CORES_MAX, DRAIN_TIMEOUT_DEFAULT,
    HINT_BYTES_DEFAULT, HINT_BYTES_MAX, HINT_BYTES_MIN, LEG_MISS_RATE_DEFAULT, LEG_MISS_RATE_MAX,
    MASTER_KEY_BYTES_MIN, MIGRATION_DRAIN_TIMEOUT_DEFAULT, NODE_TIMEOUT_DEFAULT, NODES_MAX, PROCESS_ID_MAX,
    REPLICATION_FACTOR_DEFAULT, REQUEST_TIMEOUT_DEFAULT, RESHARD_KEEP_DEFAULT,
    SETTINGS_DRIFT_INTERVAL_DEFAULT, SHARDS_DEFAULT, SHARDS_MAX, THROTTLE_MAX, TRACE_SAMPLE_DEFAULT,
};
use options::{Flags, RawOptions};
use value::Allowed;

/// What the command line asks for.
#[derive(Debug)]
pub enum Parsed {
    Run(Box<Config>),
    /// Check what the options name, and exit.
    Check(Box<Config>),
    /// Print this text to standard output and exit with 0: help, version or configuration.
    Print(String),
}

/// The configuration in force; every value is within its bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub listen: SocketAddr,
    /// `None`: metrics are not served.
    pub metrics_listen: Option<SocketAddr>,
    pub cores: usize,
    pub runtime: RuntimeChoice,
    /// At least one; ids and URLs differ; every group has at least `replication_factor` of them.
    pub nodes: Vec<NodeConfig>,
    /// The number of shards of a new index.
    pub shards: u32,
    pub replication_factor: u16,
    pub store: StoreConfig,
    /// This pod's name; a new one at each start if none is given.
    pub pod_id: Option<String>,
    /// The other pods that should exist.
    pub peers: Vec<String>,
    /// The DNS record that names the pods that should exist.
    pub peer_service: Option<PeerService>,
    pub master_key: Option<Secret>,
    pub node_master_key: Option<Secret>,
    pub admin_key: Option<Secret>,
    pub environment: Environment,
    pub unavailable_shard_policy: UnavailableShardPolicy,
    pub edge: EdgeConfig,
    pub drain_timeout: Duration,
    /// How long requests that were planned before shards moved are waited for.
    pub migration_drain_timeout: Duration,
    /// Whether shards move without a last comparison.
    pub migration_skip_delta_pass: bool,
    /// Documents a second that nodes are given while shards move; 0 for as many as go.
    pub migration_throttle: u32,
    /// How long a node may be down before it is removed by force.
    pub replace_after: Option<Duration>,
    /// Whether the number of shards of an index may be changed.
    pub resharding: bool,
    /// How long the copies from before that are kept; zero: not at all.
    pub reshard_keep: Duration,
    pub schedule_windows: Vec<ScheduleWindow>,
    pub tls: TlsConfig,
    pub write_quorum: WriteQuorum,
    /// Bytes of the hints of one node.
    pub hint_bytes_max: u64,
    pub request_timeout: Duration,
    /// At most `request_timeout`.
    pub node_timeout: Duration,
    /// Whether another copy is asked when a node is late.
    pub hedging: bool,
    /// Whether nodes that answer fast are preferred.
    pub adaptive_selection: bool,
    /// Whether identical searches at one time share one scatter.
    pub query_coalescing: bool,
    /// In what share of searches a leg may hold more of a page than it is asked for at first. With 0 each leg is asked
    /// for the whole page.
    pub leg_miss_rate: f64,
    /// Whether a filter that pins the primary key narrows the shards that are asked.
    pub shard_aware_planning: bool,
    /// Whether an alias may stand only for indexes that exist.
    pub alias_require_target: bool,
    /// Whether indexes may have policies by which documents expire.
    pub ttl: bool,
    pub session_mode: SessionMode,
    pub tenants: TenantConfig,
    /// Clusters that get a copy of a share of the searches.
    pub shadows: Vec<ShadowConfig>,
    pub cdc: CdcConfig,
    /// The folder of dumps; made with the first dump.
    pub dump_dir: PathBuf,
    /// A dump that is imported at the first start with it.
    pub import_dump: Option<PathBuf>,
    /// The folder of backups; made with the first one.
    pub backup_dir: PathBuf,
    /// The time from one backup to the next, where they are scheduled.
    pub backup_interval: Option<Duration>,
    /// Complete backups that are kept.
    pub backup_keep: usize,
    /// Networks, beside the public ones, whose addresses clients may name.
    pub allowed_ip_networks: Vec<IpNet>,
    /// Whether copies are compared and repaired periodically, and writes stamped for it.
    pub anti_entropy: bool,
    pub passes: PassConfig,
    pub settings_drift_interval: Duration,
    /// The URL of the collector of traces.
    pub otlp_endpoint: Option<String>,
    /// The share of requests that are traced although their clients do not trace them.
    pub trace_sample: f64,
    pub admin_ui: AdminUi,
    /// What sessions of the console are sealed with; the same on all pods.
    pub admin_session_seal_key: Option<Secret>,
    /// The networks of proxies that may name the client of a request.
    pub trusted_proxies: Vec<IpNet>,
    /// Where each option that was given comes from.
    pub sources: Sources,
    /// Whether indexes may have search pages.
    pub search_ui: bool,
    /// What signs the tokens of search pages; the same on all pods.
    pub search_ui_jwt_secret: Option<Secret>,
    /// The secret before it, whose tokens are still taken.
    pub search_ui_jwt_secret_previous: Option<Secret>,
    /// What visitors of search pages of the mode `shared_key` send.
    pub search_ui_shared_key: Option<Secret>,
    /// The process whose port and store this one takes over.
    pub take_over: Option<i32>,
    /// Tests may make a request panic.
    pub test_faults: bool,
}

/// Whether there is a console, and what may be changed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminUi {
    Off,
    /// Sessions of the console change nothing.
    ReadOnly,
    On,
}

/// Where each option that was given comes from. All sources are equal: a configuration is the same wherever it was
/// written.
#[derive(Debug, Clone, Default)]
pub struct Sources(BTreeMap<String, Source>);

impl PartialEq for Sources {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Sources {
    /// Where the option with this name comes from; `None` when its default holds.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<Source> {
        self.0.get(name).copied()
    }
}

/// Where an option comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Flag,
    Environment,
    File,
}

impl Source {
    /// As people read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct NodeConfig {
    /// 1 to 64 of `A-Z a-z 0-9 _ . -`.
    pub id: String,
    pub url: NodeUrl,
    /// The number of its replica group.
    pub group: u16,
    /// Its weight among the nodes of its group.
    pub capacity: f64,
}

/// The URL of a node. Prints as `http://HOST:PORT` or `https://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeUrl {
    /// A name or an IP address in lower case, IPv6 without brackets, so that `std::net::ToSocketAddrs` resolves
    /// `(host, port)`.
    pub host: String,
    pub port: u16,
    /// Whether it is asked over TLS.
    pub tls: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeChoice {
    Auto,
    Monoio,
    Glommio,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    Sled {
        path: PathBuf,
    },
    /// The URL may hold a password.
    Redis {
        url: Secret,
    },
}

/// A DNS SRV record whose targets are pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerService {
    pub name: String,
    /// The DNS server to ask; `None`: the system's servers.
    pub server: Option<SocketAddr>,
}

/// How strict the gateway is about its master key, as in Meilisearch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    Development,
    /// A master key is required, and not a short one.
    Production,
}

/// Files of certificates and keys, in PEM form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificates and private key towards clients; `None`: plain HTTP.
    pub server: Option<(PathBuf, PathBuf)>,
    /// The authorities that must have signed a client's certificate; only with `server`.
    pub client_ca: Option<PathBuf>,
    /// The authorities of https nodes; `None`: the public ones.
    pub node_ca: Option<PathBuf>,
}

/// What a search answers when a shard cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnavailableShardPolicy {
    Partial,
    Error,
}

/// How the reads of a session see its writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionMode {
    /// The reads wait until the last write is applied.
    Block,
    /// The reads go to the group that took the write.
    RoutePin,
}

/// Which owners count towards the write quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteQuorum {
    /// The owners that took it, and, with at least one of these, those for which a hint is kept.
    Hinted,
    /// Only the owners that took it.
    Strict,
}

/// Why there is no configuration, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{0}; --help lists the options")]
    Usage(String),
    #[error("option {option}: {value} is not allowed; {allowed}")]
    Value { option: &'static str, value: String, allowed: String },
    #[error("config file {path}: {reason}")]
    File { path: String, reason: String },
    #[error("config file {path}: line {line}: {error}")]
    InFile { path: String, line: usize, error: Box<ConfigError> },
}

/// Reads the arguments (without the program's name), the keys and the store of the environment (the keys that `--shadow`
/// names among them), and the file that `--config` names; no other file is read. An error that stands in the file says
/// where.
pub fn parse(args: &[&str], environment: impl Fn(&str) -> Option<String>) -> Result<Parsed, ConfigError> {
    let flags = match parse_flags(args)? {
        Ok(flags) => flags,
        Err(help) => return Ok(Parsed::Print(help)),
    };
    if flags.version {
        return Ok(Parsed::Print(format!("miroir {}\n", version())));
    }
    let file = flags.config.as_deref().map(ConfigFile::read).transpose()?;
    let options = file.as_ref().map(ConfigFile::options).transpose()?.unwrap_or_default();
    let (print_config, check_config, test_faults) =
        (flags.print_config, flags.check_config, flags.test_faults);
    let take_over =
        option("take-over", &flags.take_over, None, |text| value::whole(text, 1..=PROCESS_ID_MAX).map(Some))?;
    let (flags, variables) = (RawOptions::from_flags(flags), RawOptions::from_environment(&environment));
    let mut sources = BTreeMap::new();
    for (raw, source) in [(&options, Source::File), (&variables, Source::Environment), (&flags, Source::Flag)]
    {
        sources.extend(raw.given().into_iter().map(|name| (name, source)));
    }
    let raw = flags.or(variables).or(options);
    let config = validate(&raw, &environment, test_faults).map_err(|error| match (&file, &error) {
        (Some(file), ConfigError::Value { option, .. }) if sources.get(*option) == Some(&Source::File) => {
            file.locate(error)
        }
        _ => error,
    })?;
    let config = Config { sources: Sources(sources), take_over, ..config };
    Ok(match (print_config, check_config) {
        (true, _) => Parsed::Print(print::to_toml(&config)),
        (false, true) => Parsed::Check(Box::new(config)),
        (false, false) => Parsed::Run(Box::new(config)),
    })
}

/// The version, and the commit that it was made from where the build knew it.
#[must_use]
pub fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    option_env!("MIROIR_COMMIT").map_or_else(|| version.to_owned(), |commit| format!("{version} ({commit})"))
}

impl NodeUrl {
    /// `HOST:PORT` as in a `Host` header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

/// The flags, or the help text.
fn parse_flags(args: &[&str]) -> Result<Result<Flags, String>, ConfigError> {
    // argh knows `--name value` only; `--name=value` is common as well.
    let split = |argument: &'_ &str| match argument.split_once('=') {
        Some((name, value)) if name.starts_with("--") => vec![name.to_owned(), value.to_owned()],
        _ => vec![(*argument).to_owned()],
    };
    let args: Vec<String> = args.iter().flat_map(split).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match Flags::from_args(&["miroir"], &args) {
        Ok(flags) => Ok(Ok(flags)),
        Err(exit) if exit.status.is_ok() => Ok(Err(exit.output)),
        Err(exit) => Err(ConfigError::Usage(usage_line(&exit.output))),
    }
}

/// argh's text on one line, without the value that it quotes, which may be a key.
fn usage_line(output: &str) -> String {
    let line = output.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.strip_suffix('.').unwrap_or(&line);
    match line.strip_prefix("Error parsing option '").and_then(|rest| rest.split_once('\'')) {
        Some((option, rest)) if rest.ends_with("duplicate values provided") => {
            format!("option {} is given twice", option.trim_start_matches('-'))
        }
        Some((option, _)) => format!("option {} is wrong", option.trim_start_matches('-')),
        None => line.to_owned(),
    }
}

#[expect(clippy::too_many_lines, reason = "one line an option")]
fn validate(
    raw: &RawOptions,
    environment: &impl Fn(&str) -> Option<String>,
    test_faults: bool,
) -> Result<Config, ConfigError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(CORES_MAX);
    let request_timeout =
        option("request-timeout", &raw.request_timeout, REQUEST_TIMEOUT_DEFAULT, value::duration)?;
    let config = Config {
        listen: option("listen", &raw.listen, SocketAddr::from(([127, 0, 0, 1], 7700)), value::address)?,
        metrics_listen: option(
            "metrics-listen",
            &raw.metrics_listen,
            Some(SocketAddr::from(([127, 0, 0, 1], 9090))),
            value::address_or_off,
        )?,
        cores: option("cores", &raw.cores, cores, |text| value::whole(text, 1..=CORES_MAX))?,
        runtime: option("runtime", &raw.runtime, RuntimeChoice::Auto, |text| {
            value::one_of(text, &RuntimeChoice::NAMES)
        })?,
        tenants: TenantConfig::validate(raw)?,
        shadows: shadow::shadows(raw.shadow.as_deref().unwrap_or_default(), environment)?,
        nodes: nodes(raw.node.as_deref().unwrap_or_default())?,
        shards: option("shards", &raw.shards, SHARDS_DEFAULT, |text| value::whole(text, 1..=SHARDS_MAX))?,
        replication_factor: option(
            "replication-factor",
            &raw.replication_factor,
            REPLICATION_FACTOR_DEFAULT,
            |text| value::whole(text, 1..=u16::try_from(NODES_MAX).unwrap_or(u16::MAX)),
        )?,
        store: store(raw.store.as_deref())?,
        pod_id: option("pod-id", &raw.pod_id, None, |text| value::pod_id(text).map(Some))?,
        peers: peers(raw.peer.as_deref().unwrap_or_default())?,
        peer_service: option("peer-service", &raw.peer_service, None, |text| {
            value::peer_service(text).map(Some)
        })?,
        master_key: key("master-key", raw.master_key.as_deref())?,
        node_master_key: key("node-master-key", raw.node_master_key.as_deref())?,
        admin_key: key("admin-key", raw.admin_key.as_deref())?,
        environment: option("env", &raw.env, Environment::Development, |text| {
            value::one_of(text, &Environment::NAMES)
        })?,
        unavailable_shard_policy: option(
            "unavailable-shard-policy",
            &raw.unavailable_shard_policy,
            UnavailableShardPolicy::Partial,
            |text| value::one_of(text, &UnavailableShardPolicy::NAMES),
        )?,
        edge: EdgeConfig::validate(raw)?,
        drain_timeout: option("drain-timeout", &raw.drain_timeout, DRAIN_TIMEOUT_DEFAULT, value::duration)?,
        migration_drain_timeout: option(
            "migration-drain-timeout",
            &raw.migration_drain_timeout,
            MIGRATION_DRAIN_TIMEOUT_DEFAULT,
            value::duration,
        )?,
        migration_skip_delta_pass: option(
            "migration-skip-delta-pass",
            &raw.migration_skip_delta_pass,
            false,
            |text| value::one_of(text, &value::SWITCH),
        )?,
        migration_throttle: option("migration-throttle", &raw.migration_throttle, 0, |text| {
            value::whole(text, 0..=THROTTLE_MAX)
        })?,
        replace_after: option("replace-after", &raw.replace_after, None, value::interval_or_off)?,
        resharding: switch("resharding", &raw.resharding)?,
        reshard_keep: option("reshard-keep", &raw.reshard_keep, RESHARD_KEEP_DEFAULT, value::keep)?,
        schedule_windows: schedule_windows(raw.schedule_window.as_deref().unwrap_or_default())?,
        tls: tls(raw)?,
        write_quorum: option("write-quorum", &raw.write_quorum, WriteQuorum::Hinted, |text| {
            value::one_of(text, &WriteQuorum::NAMES)
        })?,
        hint_bytes_max: option("hint-limit", &raw.hint_limit, HINT_BYTES_DEFAULT, |text| {
            value::bytes(text, HINT_BYTES_MIN..=HINT_BYTES_MAX)
        })?,
        request_timeout,
        node_timeout: node_timeout(raw.node_timeout.as_deref(), request_timeout)?,
        hedging: switch("hedging", &raw.hedging)?,
        adaptive_selection: switch("adaptive-selection", &raw.adaptive_selection)?,
        query_coalescing: switch("query-coalescing", &raw.query_coalescing)?,
        alias_require_target: switch("alias-require-target", &raw.alias_require_target)?,
        ttl: switch("ttl", &raw.ttl)?,
        cdc: cdc::read(raw)?,
        leg_miss_rate: option("leg-miss-rate", &raw.leg_miss_rate, LEG_MISS_RATE_DEFAULT, |text| {
            value::share(text, LEG_MISS_RATE_MAX)
        })?,
        shard_aware_planning: switch("shard-aware-planning", &raw.shard_aware_planning)?,
        session_mode: option("session-mode", &raw.session_mode, SessionMode::Block, |text| {
            value::one_of(text, &SessionMode::NAMES)
        })?,
        dump_dir: option("dump-dir", &raw.dump_dir, PathBuf::from("./dumps"), value::folder)?,
        import_dump: option("import-dump", &raw.import_dump, None, value::readable_file)?,
        backup_dir: option("backup-dir", &raw.backup_dir, PathBuf::from("./backups"), value::folder)?,
        backup_interval: option("backup-interval", &raw.backup_interval, None, value::interval_or_off)?,
        backup_keep: option("backup-keep", &raw.backup_keep, BACKUPS_KEPT_DEFAULT, |text| {
            value::whole(text, 1..=BACKUPS_MAX / 2)
        })?,
        allowed_ip_networks: allowed_ip_networks(&raw.allowed_ip_networks)?,
        anti_entropy: switch("anti-entropy", &raw.anti_entropy)?,
        passes: PassConfig::validate(raw)?,
        settings_drift_interval: settings_drift_interval(&raw.settings_drift_interval)?,
        otlp_endpoint: option("otlp-endpoint", &raw.otlp_endpoint, None, value::collector)?,
        trace_sample: option("trace-sample", &raw.trace_sample, TRACE_SAMPLE_DEFAULT, |text| {
            value::share(text, 1.0)
        })?,
        admin_ui: option("admin-ui", &raw.admin_ui, AdminUi::On, |text| {
            value::one_of(text, &AdminUi::NAMES)
        })?,
        admin_session_seal_key: seal_key(raw.admin_session_seal_key.as_deref())?,
        trusted_proxies: option("trusted-proxies", &raw.trusted_proxies, Vec::new(), value::networks)?,
        sources: Sources::default(),
        search_ui: switch("search-ui", &raw.search_ui)?,
        search_ui_jwt_secret: key("SEARCH_UI_JWT_SECRET", raw.search_ui_jwt_secret.as_deref())?,
        search_ui_jwt_secret_previous: key(
            "SEARCH_UI_JWT_SECRET_PREVIOUS",
            raw.search_ui_jwt_secret_previous.as_deref(),
        )?,
        search_ui_shared_key: key("SEARCH_UI_SHARED_KEY", raw.search_ui_shared_key.as_deref())?,
        take_over: None,
        test_faults,
    };
    check_groups(&config)?;
    check_peers(&config)?;
    check_master_key(&config)?;
    Ok(config)
}

fn option<T>(
    name: &'static str,
    text: &Option<String>,
    default: T,
    parse: impl FnOnce(&str) -> Result<T, Allowed>,
) -> Result<T, ConfigError> {
    match text {
        Some(text) => parse(text).map_err(|allowed| refused(name, text, allowed)),
        None => Ok(default),
    }
}

fn allowed_ip_networks(text: &Option<String>) -> Result<Vec<IpNet>, ConfigError> {
    option("allowed-ip-networks", text, Vec::new(), value::networks)
}

fn settings_drift_interval(text: &Option<String>) -> Result<Duration, ConfigError> {
    option("settings-drift-interval", text, SETTINGS_DRIFT_INTERVAL_DEFAULT, value::interval)
}

fn schedule_windows(texts: &[String]) -> Result<Vec<ScheduleWindow>, ConfigError> {
    let mut windows: Vec<ScheduleWindow> = Vec::new();
    for text in texts {
        let window =
            ScheduleWindow::parse(text).map_err(|allowed| refused("schedule-window", text, allowed))?;
        if windows.iter().any(|known| known.name == window.name) {
            let allowed = format!("give {} once", window.name);
            return Err(refused("schedule-window", text, allowed));
        }
        windows.push(window);
    }
    Ok(windows)
}

/// Reads the switch of a capability that is on by default.
fn switch(name: &'static str, text: &Option<String>) -> Result<bool, ConfigError> {
    option(name, text, true, |text| value::one_of(text, &value::SWITCH))
}

fn refused(option: &'static str, text: &str, allowed: Allowed) -> ConfigError {
    ConfigError::Value { option, value: format!("{text:?}"), allowed }
}

/// Reads a key. The error shows neither the key nor its length.
fn key(name: &'static str, text: Option<&str>) -> Result<Option<Secret>, ConfigError> {
    let hidden = |allowed| ConfigError::Value { option: name, value: "this key".to_owned(), allowed };
    text.map(value::secret).transpose().map_err(hidden)
}

/// Reads the key that seals sessions, which people may not be able to guess.
fn seal_key(text: Option<&str>) -> Result<Option<Secret>, ConfigError> {
    let name = "ADMIN_SESSION_SEAL_KEY";
    let key = key(name, text)?;
    match &key {
        Some(short) if short.expose().len() < CONSOLE_SEAL_KEY_BYTES_MIN => Err(ConfigError::Value {
            option: name,
            value: "this key".to_owned(),
            allowed: format!("give at least {CONSOLE_SEAL_KEY_BYTES_MIN} characters"),
        }),
        _ => Ok(key),
    }
}

/// Reads the store's address. Its URL may hold a password, so the error shows only the scheme.
fn store(text: Option<&str>) -> Result<StoreConfig, ConfigError> {
    let text = text.unwrap_or("sled:./miroir-data");
    value::store(text).map_err(|allowed| refused("store", &StoreLocation::shown(text), allowed))
}

/// Hides the user part of a URL, which may hold a password.
fn without_user(text: &str) -> String {
    match (text.find("//"), text.rfind('@')) {
        (Some(start), Some(end)) if start < end => format!("{}...{}", &text[..start + 2], &text[end..]),
        _ => text.to_owned(),
    }
}

fn node_timeout(text: Option<&str>, request_timeout: Duration) -> Result<Duration, ConfigError> {
    let Some(text) = text else { return Ok(NODE_TIMEOUT_DEFAULT.min(request_timeout)) };
    let node_timeout = value::duration(text).map_err(|allowed| refused("node-timeout", text, allowed))?;
    if node_timeout > request_timeout {
        let allowed = format!("give at most the request-timeout, {}", print::duration(request_timeout));
        return Err(refused("node-timeout", text, allowed));
    }
    Ok(node_timeout)
}

fn nodes(texts: &[String]) -> Result<Vec<NodeConfig>, ConfigError> {
    // A store that knows its nodes needs no flag that names them.
    if texts.len() > NODES_MAX {
        let allowed = format!("give at most {NODES_MAX} nodes, for example --node n1=http://10.0.0.1:7700");
        return Err(ConfigError::Value { option: "node", value: texts.len().to_string(), allowed });
    }
    let (mut ids, mut urls) = (BTreeSet::new(), BTreeSet::new());
    let mut nodes = Vec::with_capacity(texts.len());
    for text in texts {
        let node = value::node(text)
            .and_then(|node| match (ids.insert(node.id.clone()), urls.insert(node.url.clone())) {
                (true, true) => Ok(node),
                (false, _) => Err(format!("another node already has the ID {}", node.id)),
                (true, false) => Err(format!("another node already has the URL {}", node.url)),
            })
            .map_err(|allowed| refused("node", &without_user(text), allowed))?;
        nodes.push(node);
    }
    Ok(nodes)
}

/// A node as flags give it: `ID=URL[,group=N][,capacity=W]`.
pub(crate) fn node_config(text: &str) -> Result<NodeConfig, String> {
    value::node(text)
}

fn tls(raw: &RawOptions) -> Result<TlsConfig, ConfigError> {
    let path = |name, text| option(name, text, None, |text| value::file(text).map(Some));
    let certificate = path("tls-certificate", &raw.tls_certificate)?;
    let key = path("tls-key", &raw.tls_key)?;
    let client_ca = path("tls-client-ca", &raw.tls_client_ca)?;
    let missing = |option, allowed: &str| {
        Err(ConfigError::Value { option, value: "none".to_owned(), allowed: allowed.to_owned() })
    };
    let server = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return missing("tls-key", "give the key of --tls-certificate"),
        (None, Some(_)) => return missing("tls-certificate", "give the certificate of --tls-key"),
    };
    if server.is_none() && client_ca.is_some() {
        return missing("tls-certificate", "clients have certificates only where the gateway has one");
    }
    Ok(TlsConfig { server, client_ca, node_ca: path("node-ca", &raw.node_ca)? })
}

fn peers(texts: &[String]) -> Result<Vec<String>, ConfigError> {
    let peer = |text: &String| value::pod_id(text).map_err(|allowed| refused("peer", text, allowed));
    texts.iter().map(peer).collect()
}

/// A sled store, on one machine's disk, belongs to one pod.
fn check_peers(config: &Config) -> Result<(), ConfigError> {
    match (&config.store, config.peers.first()) {
        (StoreConfig::Sled { .. }, Some(peer)) => {
            let allowed = "more than one pod needs --store redis://HOST:PORT".to_owned();
            Err(ConfigError::Value { option: "peer", value: format!("{peer:?}"), allowed })
        }
        (StoreConfig::Sled { .. } | StoreConfig::Redis { .. }, _) => Ok(()),
    }
}

fn check_master_key(config: &Config) -> Result<(), ConfigError> {
    let long_enough = |key: &Secret| key.expose().len() >= MASTER_KEY_BYTES_MIN;
    if config.environment == Environment::Development || config.master_key.as_ref().is_some_and(long_enough) {
        return Ok(());
    }
    let value = if config.master_key.is_some() { "this key" } else { "none" };
    let allowed = format!("in production give at least {MASTER_KEY_BYTES_MIN} bytes");
    Err(ConfigError::Value { option: "master-key", value: value.to_owned(), allowed })
}

fn check_groups(config: &Config) -> Result<(), ConfigError> {
    let mut sizes: BTreeMap<u16, usize> = BTreeMap::new();
    for node in &config.nodes {
        *sizes.entry(node.group).or_default() += 1;
    }
    for (group, size) in sizes {
        if size < usize::from(config.replication_factor) {
            return Err(ConfigError::Value {
                option: "replication-factor",
                value: config.replication_factor.to_string(),
                allowed: format!("group {group} has {size} of the nodes, so give at most {size}"),
            });
        }
    }
    Ok(())
}

impl RuntimeChoice {
    const NAMES: [(&'static str, RuntimeChoice); 3] = [
        ("auto", RuntimeChoice::Auto),
        ("monoio", RuntimeChoice::Monoio),
        ("glommio", RuntimeChoice::Glommio),
    ];
}

impl Environment {
    const NAMES: [(&'static str, Environment); 2] =
        [("development", Environment::Development), ("production", Environment::Production)];
}

impl WriteQuorum {
    const NAMES: [(&'static str, WriteQuorum); 2] =
        [("hinted", WriteQuorum::Hinted), ("strict", WriteQuorum::Strict)];
}

impl UnavailableShardPolicy {
    const NAMES: [(&'static str, UnavailableShardPolicy); 2] =
        [("partial", UnavailableShardPolicy::Partial), ("error", UnavailableShardPolicy::Error)];
}

impl SessionMode {
    const NAMES: [(&'static str, SessionMode); 2] =
        [("block", SessionMode::Block), ("route_pin", SessionMode::RoutePin)];
}

impl AdminUi {
    const NAMES: [(&'static str, AdminUi); 3] =
        [("off", AdminUi::Off), ("read-only", AdminUi::ReadOnly), ("on", AdminUi::On)];
}
