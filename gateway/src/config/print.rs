//! Prints the configuration in force as TOML that `--config` can read again, except for the keys: they are shown as
//! `(set)`, which is refused as a key.

use std::{path::Path, time::Duration};

use protocol::auth::SECRET_SHOWN;
use serde::Serialize;

use super::shadow;
use super::value::SWITCH;
use super::{
    AdminUi, CdcOverflow, CdcSink, Config, Environment, LogRequests, NodeConfig, PassConfig, PeerService,
    RuntimeChoice, Schedule, Secret, SessionMode, StoreConfig, TenantAffinity, TenantFallback,
    UnavailableShardPolicy, WriteQuorum,
};

#[expect(clippy::too_many_lines, reason = "one line an option")]
pub(crate) fn to_toml(config: &Config) -> String {
    let shown = |secret: &Option<Secret>| secret.as_ref().map(|_| SECRET_SHOWN);
    let edge = &config.edge;
    let path = |path: &Path| path.display().to_string();
    let effective = Effective {
        listen: config.listen.to_string(),
        metrics_listen: config.metrics_listen.map_or("off".to_owned(), |address| address.to_string()),
        cores: config.cores,
        runtime: name_of(&RuntimeChoice::NAMES, config.runtime),
        node: config.nodes.iter().map(node).collect(),
        shards: config.shards,
        replication_factor: config.replication_factor,
        store: store(&config.store),
        pod_id: config.pod_id.clone(),
        peer: config.peers.clone(),
        peer_service: config.peer_service.as_ref().map(service),
        master_key: shown(&config.master_key),
        node_master_key: shown(&config.node_master_key),
        admin_key: shown(&config.admin_key),
        env: name_of(&Environment::NAMES, config.environment),
        unavailable_shard_policy: name_of(&UnavailableShardPolicy::NAMES, config.unavailable_shard_policy),
        body_limit: edge.body_bytes_max,
        request_timeout: duration(config.request_timeout),
        node_timeout: duration(config.node_timeout),
        request_line_limit: edge.request_line_bytes_max,
        head_limit: edge.head_bytes_max,
        headers_max: edge.headers_max,
        first_byte_timeout: duration(edge.first_byte_timeout),
        head_timeout: duration(edge.head_timeout),
        idle_timeout: duration(edge.idle_timeout),
        body_gap_timeout: duration(edge.body_gap_timeout),
        body_timeout: duration(edge.body_timeout),
        requests_per_connection_max: edge.requests_per_connection_max,
        connections_max: edge.connections_max,
        connections_per_address_max: edge.connections_per_address_max,
        in_flight_max: edge.in_flight_max,
        queue_delay_max: duration(edge.queue_delay_max),
        multi_search_queries_max: edge.multi_search_queries_max,
        json_depth_max: edge.json_depth_max,
        page_depth_max: edge.page_depth_max,
        drain_timeout: duration(config.drain_timeout),
        migration_drain_timeout: duration(config.migration_drain_timeout),
        migration_skip_delta_pass: name_of(&SWITCH, config.migration_skip_delta_pass),
        migration_throttle: config.migration_throttle,
        replace_after: config.replace_after.map_or_else(|| "off".to_owned(), duration),
        resharding: name_of(&SWITCH, config.resharding),
        reshard_keep: duration(config.reshard_keep),
        schedule_window: config.schedule_windows.iter().map(ToString::to_string).collect(),
        tls_certificate: config.tls.server.as_ref().map(|(certificate, _)| path(certificate)),
        tls_key: config.tls.server.as_ref().map(|(_, key)| path(key)),
        tls_client_ca: config.tls.client_ca.as_deref().map(path),
        node_ca: config.tls.node_ca.as_deref().map(path),
        log_requests: name_of(&LogRequests::NAMES, edge.log_requests),
        log_queries: name_of(&SWITCH, edge.log_queries),
        slow_query_log: edge.slow_query.map_or_else(|| "off".to_owned(), duration),
        otlp_endpoint: config.otlp_endpoint.clone().unwrap_or_else(|| "off".to_owned()),
        trace_sample: config.trace_sample,
        write_quorum: name_of(&WriteQuorum::NAMES, config.write_quorum),
        hint_limit: config.hint_bytes_max,
        hedging: name_of(&SWITCH, config.hedging),
        adaptive_selection: name_of(&SWITCH, config.adaptive_selection),
        query_coalescing: name_of(&SWITCH, config.query_coalescing),
        alias_require_target: name_of(&SWITCH, config.alias_require_target),
        ttl: name_of(&SWITCH, config.ttl),
        cdc: name_of(&SWITCH, config.cdc.on),
        cdc_sink: config.cdc.sinks.iter().map(CdcSink::shown).collect(),
        cdc_overflow: name_of(&CdcOverflow::NAMES, config.cdc.overflow),
        cdc_ttl_deletes: name_of(&SWITCH, config.cdc.ttl_deletes),
        leg_miss_rate: config.leg_miss_rate,
        shard_aware_planning: name_of(&SWITCH, config.shard_aware_planning),
        session_mode: name_of(&SessionMode::NAMES, config.session_mode),
        tenant_affinity: name_of(&TenantAffinity::NAMES, config.tenants.affinity),
        tenant_fallback: name_of(&TenantFallback::NAMES, config.tenants.fallback),
        tenant_dedicated_groups: listed(&config.tenants.dedicated_groups),
        shadow: config.shadows.iter().map(shadow::text).collect(),
        dump_dir: config.dump_dir.display().to_string(),
        import_dump: config.import_dump.as_deref().map(path),
        backup_dir: config.backup_dir.display().to_string(),
        backup_interval: config.backup_interval.map_or_else(|| "off".to_owned(), duration),
        backup_keep: config.backup_keep,
        allowed_ip_networks: listed(&config.allowed_ip_networks),
        anti_entropy: name_of(&SWITCH, config.anti_entropy),
        anti_entropy_interval: duration(config.passes.interval),
        anti_entropy_schedule_cron: schedule(&config.passes),
        anti_entropy_shards_per_pass: config.passes.shards_max.unwrap_or(0),
        anti_entropy_max_read_concurrency: config.passes.reads_max,
        anti_entropy_fingerprint_batch_size: config.passes.batch,
        anti_entropy_auto_repair: name_of(&SWITCH, config.passes.repairs),
        settings_drift_interval: duration(config.settings_drift_interval),
        admin_ui: name_of(&AdminUi::NAMES, config.admin_ui),
        trusted_proxies: listed(&config.trusted_proxies),
        search_ui: name_of(&SWITCH, config.search_ui),
    };
    toml::to_string(&effective).expect("texts, numbers and lists of texts are always TOML")
}

/// Every option in force with its value as people read it; keys are hidden, and options that are not set are absent.
pub(crate) fn values(config: &Config) -> Vec<(String, String)> {
    let table = to_toml(config).parse::<toml::Table>().unwrap_or_default();
    let shown = |value: toml::Value| match value {
        toml::Value::String(text) => text,
        toml::Value::Array(values) => {
            values.iter().map(|value| value.as_str().unwrap_or_default()).collect::<Vec<_>>().join("\n")
        }
        other @ (toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Table(_)) => other.to_string(),
    };
    table.into_iter().map(|(name, value)| (name, shown(value))).collect()
}

fn listed<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn schedule(passes: &PassConfig) -> String {
    passes.schedule.as_ref().map_or("off", Schedule::text).to_owned()
}

fn store(config: &StoreConfig) -> String {
    match config {
        StoreConfig::Sled { path } => format!("sled:{}", path.display()),
        StoreConfig::Redis { url } => super::without_user(url.expose()),
    }
}

pub(crate) fn duration(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{}s", time.as_secs()) } else { format!("{}ms", time.as_millis()) }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Effective {
    listen: String,
    metrics_listen: String,
    cores: usize,
    runtime: &'static str,
    node: Vec<String>,
    shards: u32,
    replication_factor: u16,
    store: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    peer: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    master_key: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_master_key: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_key: Option<&'static str>,
    env: &'static str,
    unavailable_shard_policy: &'static str,
    body_limit: usize,
    request_timeout: String,
    node_timeout: String,
    request_line_limit: usize,
    head_limit: usize,
    headers_max: usize,
    first_byte_timeout: String,
    head_timeout: String,
    idle_timeout: String,
    body_gap_timeout: String,
    body_timeout: String,
    requests_per_connection_max: u32,
    connections_max: usize,
    connections_per_address_max: usize,
    in_flight_max: usize,
    queue_delay_max: String,
    multi_search_queries_max: usize,
    json_depth_max: usize,
    page_depth_max: usize,
    drain_timeout: String,
    migration_drain_timeout: String,
    migration_skip_delta_pass: &'static str,
    migration_throttle: u32,
    replace_after: String,
    resharding: &'static str,
    reshard_keep: String,
    schedule_window: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_client_ca: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_ca: Option<String>,
    log_requests: &'static str,
    log_queries: &'static str,
    slow_query_log: String,
    otlp_endpoint: String,
    trace_sample: f64,
    write_quorum: &'static str,
    hint_limit: u64,
    hedging: &'static str,
    adaptive_selection: &'static str,
    query_coalescing: &'static str,
    alias_require_target: &'static str,
    ttl: &'static str,
    cdc: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cdc_sink: Vec<String>,
    cdc_overflow: &'static str,
    cdc_ttl_deletes: &'static str,
    leg_miss_rate: f64,
    shard_aware_planning: &'static str,
    session_mode: &'static str,
    tenant_affinity: &'static str,
    tenant_fallback: &'static str,
    tenant_dedicated_groups: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shadow: Vec<String>,
    dump_dir: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    import_dump: Option<String>,
    backup_dir: String,
    backup_interval: String,
    backup_keep: usize,
    allowed_ip_networks: String,
    anti_entropy: &'static str,
    anti_entropy_interval: String,
    anti_entropy_schedule_cron: String,
    anti_entropy_shards_per_pass: u32,
    anti_entropy_max_read_concurrency: usize,
    anti_entropy_fingerprint_batch_size: usize,
    anti_entropy_auto_repair: &'static str,
    settings_drift_interval: String,
    admin_ui: &'static str,
    trusted_proxies: String,
    search_ui: &'static str,
}

fn service(service: &PeerService) -> String {
    let server = service.server.map_or_else(String::new, |server| format!("@{server}"));
    format!("{}{server}", service.name)
}

fn node(node: &NodeConfig) -> String {
    format!("{}={},group={},capacity={}", node.id, node.url, node.group, node.capacity)
}

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    let found = names.iter().find(|(_, named)| *named == value);
    found.map(|(name, _)| *name).expect("every choice has a name")
}
