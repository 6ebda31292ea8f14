//! The backend for many pods: Redis, single, behind Sentinel or as a cluster, through fred on a thread of its own.
//! - All keys share one hash tag, so that one script can change them together. Only scripts write.
//! - A record is stored as its revision, a bar and its JSON, so that a script can compare revisions without parsing
//!   JSON.
//! - A command is sent once. If it gets no answer, its outcome is unknown, and the reply says so.
//! - A Redis that lost its data has another epoch. The scripts write nothing until the pod has noticed that.

pub(crate) mod backend;
pub(crate) mod change_feed;
pub(crate) mod commit_plan;
pub(crate) mod reads;
pub(crate) mod scripts;
pub(crate) mod task_mirror;
pub(crate) mod transfer;
pub(crate) mod worker;

use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use fred::interfaces::ClientLike;
use fred::types::InfoKind;
use fred::types::config::{Config, ReconnectPolicy, TcpConfig};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};

use crate::handle::{Store, StoreThread, connect};
use crate::limits::{REDIS_COMMAND_TIMEOUT, REDIS_CONNECT_TIMEOUT};
use crate::{Clock, OpenError, StoreError};
use backend::Backend;

/// The hash tag that begins every key.
const PREFIX: &str = "{miroir}";
const FORMAT_VERSION: u32 = 1;
/// The oldest major version of Redis with the scripts and streams that the backend needs.
const REDIS_VERSION_MIN: u32 = 7;

/// The address of the store, and its clock.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://` or `rediss://`, either with `-sentinel` or `-cluster` behind the scheme. Parameters behind `?`,
    /// beside fred's own: `miroir_prefix=NAME` separates several stores in one Redis; `miroir_ca=FILE` replaces the
    /// system's certificate authorities for TLS; `miroir_replicas=COUNT` is how many replicas must have a write before
    /// it is acknowledged.
    pub url: String,
    /// `None`: the clock of Redis, the same for all pods.
    pub clock: Option<Clock>,
}

/// Opens the store, or creates it, and starts its thread. Blocks until Redis has answered.
///
/// # Errors
/// `Server`: Redis cannot be reached, refuses the connection, is not a master or too old, or the store has another
/// format. The error is one line and never shows the password.
pub fn open_redis(options: RedisOptions) -> Result<(Store, StoreThread), OpenError> {
    let (config, address) = configuration(&options.url)?;
    let failed = |reason: String| OpenError::Server { address: address.clone(), reason };
    let (store, inbox, stop) = connect();
    let (opened, outcome) = std::sync::mpsc::channel();
    let prefix = prefix(&options.url);
    let replicas = parameter(&options.url, "miroir_replicas").map_or(Ok(0), str::parse);
    let replicas = replicas.map_err(|_| failed("miroir_replicas is to be a count".to_owned()))?;
    let thread = Builder::new().name("store".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StoreError::Io(error.to_string()))?;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let backend = match open(config, prefix, replicas, options.clock).await {
                Ok(backend) => backend,
                Err(reason) => {
                    let _ = opened.send(Err(reason));
                    return Ok(());
                }
            };
            let _ = opened.send(Ok(()));
            worker::run(backend, inbox).await
        })
    });
    let thread = thread.map_err(|error| failed(error.to_string()))?;
    match outcome.recv() {
        Ok(Ok(())) => Ok((store, StoreThread::new(stop, thread))),
        Ok(Err(reason)) => Err(failed(reason)),
        Err(_) => Err(failed("its thread has died".to_owned())),
    }
}

/// fred's configuration, and the servers' addresses without user and password.
fn configuration(url: &str) -> Result<(Config, String), OpenError> {
    let shown = url.split("://").next().unwrap_or_default();
    let wrong = |reason: String| OpenError::Server { address: format!("{shown}://..."), reason };
    if !shown.starts_with("redis") {
        return Err(wrong(
            "not a Redis; allowed: redis:// or rediss://, -sentinel and -cluster behind it".to_owned(),
        ));
    }
    let authorities = parameter(url, "miroir_ca").filter(|_| shown.starts_with("rediss"));
    // Without explicit authorities fred loads the system's, which may not exist.
    let parsed = if authorities.is_some() { url.replacen("rediss", "redis", 1) } else { url.to_owned() };
    let mut config = Config::from_url(&parsed).map_err(|error| wrong(error.details().to_owned()))?;
    if let Some(path) = authorities {
        config.tls = Some(tls(path).map_err(|reason| wrong(format!("miroir_ca={path}: {reason}")))?.into());
    }
    let hosts = config.server.hosts();
    let address = hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    Ok((Config { fail_fast: true, ..config }, address))
}

/// The hash tag of this store's keys. A cluster has no database numbers, so a name separates its stores.
fn prefix(url: &str) -> String {
    parameter(url, "miroir_prefix").map_or_else(|| PREFIX.to_owned(), |name| format!("{{{name}}}"))
}

fn parameter<'u>(url: &'u str, name: &str) -> Option<&'u str> {
    let (_, query) = url.split_once('?')?;
    query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// A TLS configuration that trusts servers whose certificates these authorities have signed.
fn tls(path: &str) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    for certificate in read.map_err(|error| error.to_string())? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("no certificate in it".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn open(
    config: Config,
    prefix: String,
    replicas: u32,
    clock: Option<Clock>,
) -> Result<Backend, String> {
    let is_cluster = config.server.is_clustered();
    let client = fred::types::Builder::from_config(config)
        .with_connection_config(|connection| {
            connection.connection_timeout = REDIS_CONNECT_TIMEOUT;
            connection.internal_command_timeout = REDIS_CONNECT_TIMEOUT;
            connection.max_command_attempts = 1;
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        })
        .with_performance_config(|performance| performance.default_command_timeout = REDIS_COMMAND_TIMEOUT)
        .set_policy(ReconnectPolicy::new_exponential(0, 50, 2000, 2))
        .build()
        .map_err(|error| error.details().to_owned())?;
    let ready = tokio::time::timeout(2 * REDIS_CONNECT_TIMEOUT, client.init()).await;
    match ready {
        Ok(Ok(_connection)) => {}
        Ok(Err(error)) => return Err(error.details().to_owned()),
        Err(_) => return Err("no answer".to_owned()),
    }
    let refused = |error: fred::error::Error| error.details().to_owned();
    let server: String = client.info(Some(InfoKind::Server)).await.map_err(refused)?;
    let version = server.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("0").trim();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0);
    if major < REDIS_VERSION_MIN {
        return Err(format!("Redis {version} is too old; allowed: {REDIS_VERSION_MIN}.0 or newer"));
    }
    if !is_cluster {
        let replication: String = client.info(Some(InfoKind::Replication)).await.map_err(refused)?;
        if !replication.contains("role:master") {
            return Err("it is a replica, which takes no writes; allowed: the master".to_owned());
        }
    }
    let backend = Backend::new(client, prefix, replicas, clock);
    match backend.catch_up().await {
        Ok(()) => Ok(backend),
        Err(StoreError::Io(reason) | StoreError::Unreachable(reason)) => Err(reason),
        Err(error) => Err(error.to_string()),
    }
}

fn since_epoch(seconds: u64, micros: u64) -> Duration {
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}
