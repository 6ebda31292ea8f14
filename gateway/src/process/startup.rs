//! What a gateway restores from its store before it serves its first client.
//!
//! Invariants: pods that start together do so one after the other. What the last process left half done is finished
//! before anything new can be added. Nothing here knows of threads, so that any runtime of the seam can wait for it.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use arc_swap::{ArcSwap, ArcSwapOption};
use crossbeam::utils::CachePadded;
use metrics_exporter_prometheus::PrometheusHandle;
use router::{Node, NodeIndex, Topology};
use store::{Lease, Reply, Store, StoreError, Table, TaskKind, TaskRecord, TaskStatus, Versioned};

use crate::{
    api::{
        alias::{ALIASES, Alias},
        search::rules::{self, RULES},
        swap::Rename,
        tenant::{TENANTS, TENANTS_KEY, Tenants},
        webhook::Webhooks,
    },
    auth::{ApiKey, KeyRing, PAGE_SECRETS, PAGE_SECRETS_KEY, PageTokens, Rotation},
    clock::{self, CLOCK, CLOCK_KEY, Clock},
    config::{self, Config, cdc::literal_address, limits},
    console::Console,
    jobs::schedule,
    membership::high_water_marks::NEWEST_TASKS,
    nodes::{
        address::{Addresses, NodeAddress},
        health::{Health, NodeState},
        hints::{HINTS, Hints, SUSPECT_SHARDS, SuspectCopies, UNAPPLIED, Unapplied},
        table::Nodes,
    },
    observe,
    pods::election::PODS,
    server::{self, Door},
    state::{
        aliases::Aliases,
        canaries,
        cdc::ChangeStream,
        change,
        coverage::uncovered_shards,
        heartbeats::Heartbeats,
        leadership::Coordinator,
        placed, refresh,
        sessions::Sessions,
        shadows::Shadows,
        shared::{FEATURES, FEATURES_KEY, Features, KEYS, Shared, WEBHOOKS, WEBHOOKS_KEY},
        snapshot::{Index, Snapshot},
        tenants,
        wakeups::Wakeups,
        write_block::WriteBlocks,
    },
    wire::{
        outbound,
        runtime::{self, Runtime},
    },
    write::{
        orphan_indexes::{self, ORPHAN_INDEXES},
        rename::plan,
        tombstones,
    },
};

/// How often a pod checks whether another has finished its start.
const START_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What a gateway is made from.
pub struct Parts {
    pub config: Config,
    /// The TLS configuration towards clients; `None`: plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub store: Store,
    pub coordinator: Coordinator,
    pub prometheus: PrometheusHandle,
    pub tracer: Option<observe::spans::Tracer>,
}

/// A gateway that has restored its state, and does not run yet.
pub struct Ready {
    pub shared: Arc<Shared>,
    lanes: Arc<[change::LaneSender]>,
    inboxes: Vec<change::LaneInbox>,
    interrupted: Vec<TaskRecord>,
}

/// Restores the state that is in the store. `now` is the executors' clock, `pause` waits.
///
/// # Errors
/// One clear line: what is stored does not fit the configuration or cannot be read, or the store does not answer.
pub async fn prepare(
    parts: Parts,
    now: fn() -> Instant,
    pause: impl AsyncFn(Duration),
) -> anyhow::Result<Ready> {
    let Parts { config, tls, store, coordinator, prometheus, tracer } = parts;
    check_sinks(&config)?;
    // Pods that start together do so one after the other.
    let starting = begin_start(&store, &coordinator, now, pause).await?;
    let topology = Arc::new(load_topology(&config, &store).await?);
    let nodes = resolve_nodes(&config, &topology)?;
    refuse_dedication_of_all(&config, &topology)?;
    // Done before the first client can add to it, and while no other pod works on it.
    let is_first = live_pods(&store, &coordinator).await?.is_empty();
    if is_first {
        finish_moves(&store, &ask_store(store.unfinished_tasks(usize::MAX)).await?).await?;
        abandon_half_made(&store).await?;
    }
    let mut interrupted = own_unfinished_tasks(&store, &coordinator, is_first).await?;
    let snapshot = load_snapshot(Arc::clone(&topology), &store).await?;
    let keys = load_keys(&config, &store).await?;
    if let Some(starting) = starting {
        ask_store(store.release_lease(&starting)).await?;
    }
    let webhooks = load_webhooks(&store).await?;
    let page_tokens = load_page_tokens(&config, &store).await?;
    let canaries = canaries::load(&store).await.map_err(|error| anyhow!("--store: {error}"))?;
    let rules = rules::read(ask_store(store.records(RULES, None, usize::MAX)).await?);
    interrupted.retain(|task| !task.accepted || is_resumed(task));
    if !config.anti_entropy {
        tombstones::forget_all(&store).await.map_err(|error| anyhow!("--store: {error}"))?;
    }
    let (lanes, inboxes): (Vec<_>, Vec<_>) = (0..config.cores).map(|_| change::channel()).unzip();
    let clock = take_up_clock(&store, coordinator.is_shared()).await?;
    let (health, hints) = load_hints(&config, &topology, &store, now()).await?;
    let console = Console::new(config.admin_session_seal_key.as_ref())?;
    let shared = Arc::new(Shared {
        clock,
        console,
        sessions: Sessions::new(now()),
        nodes: Arc::new(Nodes::new(Addresses::new(nodes), health, hints)),
        snapshot: ArcSwap::from_pointee(snapshot),
        retired: ArcSwap::default(),
        keys: ArcSwap::from_pointee(keys),
        page_tokens: ArcSwap::from_pointee(page_tokens),
        webhooks: ArcSwap::from_pointee(webhooks),
        features: ArcSwap::from_pointee(load_features(&store).await?),
        tenants: ArcSwap::from_pointee(load_tenants(&store).await?),
        canaries: ArcSwap::from_pointee(canaries),
        capture: ArcSwapOption::empty(),
        shadows: Shadows::new(&config.shadows),
        rules: ArcSwap::from_pointee(rules),
        outbound: outbound::agent(&config.allowed_ip_networks, limits::OUTBOUND_TIMEOUT),
        store: store.observed(observe::store_counts::observer()),
        coordinator,
        wakeups: Wakeups::default(),
        tasks_ended: AtomicU64::new(0),
        tasks_unfinished: AtomicU64::new(0),
        cdc: ChangeStream::default(),
        write_blocks: WriteBlocks::default(),
        prometheus,
        tracer,
        draining: AtomicBool::new(false),
        handing_over: AtomicBool::new(false),
        connections: counter_of_each(&config),
        heartbeats: Arc::new(Heartbeats::new(config.cores + 1)),
        in_flight: counter_of_each(&config),
        edge: ArcSwap::from_pointee(config.edge.clone()),
        tls: ArcSwapOption::new(tls),
        config,
    });
    if shared.coordinator.is_shared() {
        announce_placement(&shared).await.map_err(|error| anyhow!("--store: {error}"))?;
    }
    Ok(Ready { shared, lanes: lanes.into(), inboxes, interrupted })
}

/// The unfinished tasks that this pod takes care of: those of all pods for the first one that is up, else its own.
async fn own_unfinished_tasks(
    store: &Store,
    coordinator: &Coordinator,
    is_first: bool,
) -> anyhow::Result<Vec<TaskRecord>> {
    let mut unfinished = ask_store(store.unfinished_tasks(usize::MAX)).await?;
    unfinished.retain(|task| is_first || task.pod.as_deref() == Some(coordinator.pod()));
    Ok(unfinished)
}

/// Refuses options that leave no group to those whose tenant has none of its own.
fn refuse_dedication_of_all(config: &Config, topology: &Topology) -> anyhow::Result<()> {
    let dedicated = &config.tenants.dedicated_groups;
    if !dedicated.is_empty() && tenants::shared_groups(topology, dedicated).is_empty() {
        bail!(
            "--tenant-dedicated-groups: every group is dedicated; allowed: leave at least one to everybody"
        );
    }
    Ok(())
}

/// Tells the other pods by which placement this one plans, before it serves its first client, and looks at the newest
/// again: a pod that has moved shards meanwhile either knows of this one or is known to it.
async fn announce_placement(shared: &Shared) -> Result<(), StoreError> {
    placed::announce(shared, shared.snapshot().topology.version).await?;
    placed::vouch(shared).await?;
    Ok(())
}

/// A counter for each data core and one for the control executor, each on a cache line of its own.
fn counter_of_each(config: &Config) -> Vec<CachePadded<AtomicUsize>> {
    (0..=config.cores).map(|_| CachePadded::new(AtomicUsize::new(0))).collect()
}

impl Ready {
    /// Starts the control executor and every data core; all listen when this returns, each with a socket of its own
    /// or, where there are none, at the address.
    ///
    /// # Errors
    /// When an executor cannot start.
    pub fn run(
        self,
        runtime: Runtime,
        address: SocketAddr,
        sockets: Vec<TcpListener>,
    ) -> anyhow::Result<Vec<JoinHandle<()>>> {
        let Self { shared, lanes, inboxes, interrupted } = self;
        let mut executors =
            Vec::from_iter(schedule::start(runtime, Arc::clone(&shared), Arc::clone(&lanes), interrupted)?);
        // A simulated world stands still while this thread waits.
        if !matches!(runtime, Runtime::Simulated(_)) {
            wait_until_covered(&shared);
        }
        let cpus = runtime::pinned_cpus(inboxes.len());
        let mut sockets = sockets.into_iter();
        for (number, inbox) in inboxes.into_iter().enumerate() {
            let door = sockets.next().map_or(Door::Address(address), Door::Socket);
            let cpu = cpus.get(number).copied();
            let (shared, lanes) = (Arc::clone(&shared), Arc::clone(&lanes));
            executors.extend(server::start_core(runtime, number, cpu, door, shared, lanes, inbox)?);
        }
        Ok(executors)
    }
}

/// Waits until every shard has a node that serves, so that no client meets a gateway that has not seen its nodes yet.
/// Clients wait in the queues of the sockets meanwhile, though not for nodes that are down.
fn wait_until_covered(shared: &Shared) {
    let deadline = Instant::now() + limits::START_COVER_MAX;
    let may_come = || {
        let nodes = shared.snapshot().topology.every_node();
        let state = |node| shared.nodes.health.state(node);
        nodes.into_iter().any(|node| matches!(state(node), NodeState::Unknown | NodeState::Joining))
    };
    while uncovered_shards(shared, &shared.snapshot()) > 0 && may_come() && Instant::now() < deadline {
        std::thread::sleep(limits::START_COVER_PAUSE);
    }
}

/// Finishes swaps and renames that were accepted and not yet done, oldest first. Those in which nodes have a part are
/// resumed later (`write::rename::run::resume`).
async fn finish_moves(store: &Store, unfinished: &[TaskRecord]) -> anyhow::Result<()> {
    let moves = |kind| matches!(kind, TaskKind::IndexSwap | TaskKind::IndexUpdate);
    let here = |task: &&TaskRecord| task.accepted && moves(task.kind) && task.node_tasks.is_empty();
    for task in unfinished.iter().filter(here) {
        let steps = Rename::of_task(task);
        let indexes = ask_store(store.indexes()).await?;
        let find = |uid: &str| indexes.iter().find(|index| index.uid == uid).cloned();
        let now = clock::utc();
        // A processing task has changed the registry already (`write::rename::run`).
        if task.status == TaskStatus::Enqueued {
            ask_store(store.commit(plan::commit(&steps, task.uid, plan::begun(task, now), now, find)))
                .await?;
        }
        ask_store(store.update_task(task.uid, plan::ended(task))).await?;
        observe::log::info("move_finished", &[("task", &task.uid.to_string())]);
    }
    Ok(())
}

/// Whether the control executor resumes an accepted task.
fn is_resumed(task: &TaskRecord) -> bool {
    task.kind == TaskKind::IndexUpdate
}

/// Hands the indexes that the last process was making to the sweep.
async fn abandon_half_made(store: &Store) -> anyhow::Result<()> {
    for record in ask_store(store.records(ORPHAN_INDEXES, None, usize::MAX)).await? {
        ask_store(store.put_record(
            ORPHAN_INDEXES,
            &record.key,
            orphan_indexes::value(false),
            Some(record.revision),
        ))
        .await?;
    }
    Ok(())
}

/// Waits until no other pod is starting.
async fn begin_start(
    store: &Store,
    coordinator: &Coordinator,
    now: fn() -> Instant,
    pause: impl AsyncFn(Duration),
) -> anyhow::Result<Option<Lease>> {
    if !coordinator.is_shared() {
        return Ok(None);
    }
    let deadline = now() + 2 * limits::POD_START_MAX;
    loop {
        let about = serde_json::Value::Null;
        let lease = store.acquire_lease("start", coordinator.pod(), about, limits::POD_START_MAX);
        let lease = ask_store(lease).await?;
        if lease.is_some() {
            return Ok(lease);
        }
        if now() >= deadline {
            bail!("--store: another pod has been starting for too long");
        }
        pause(START_POLL_INTERVAL).await;
    }
}

/// The other live pods.
async fn live_pods(store: &Store, coordinator: &Coordinator) -> anyhow::Result<Vec<String>> {
    let pods = ask_store(store.leases(PODS)).await?.into_iter().map(|lease| lease.holder);
    Ok(pods.filter(|pod| pod != coordinator.pod()).collect())
}

/// The stored topology, checked against the configured nodes; made from these the first time.
async fn load_topology(config: &Config, store: &Store) -> anyhow::Result<Topology> {
    let nodes = config.nodes.iter().map(|node| Node {
        id: node.id.clone(),
        url: node.url.to_string(),
        group: node.group,
        capacity: node.capacity,
    });
    let nodes: Vec<Node> = nodes.collect();
    let Some(stored) = ask_store(store.topology()).await? else {
        if nodes.is_empty() {
            bail!(
                "--node none: this store knows no nodes yet; allowed: 1 or more, for example --node n1=http://10.0.0.1:7700"
            );
        }
        let topology =
            Topology::new(nodes, config.replication_factor).map_err(|error| anyhow!("--node: {error}"))?;
        let topology = topology.with_placement_for(config.shards);
        let value = serde_json::to_value(&topology).context("the topology cannot be stored")?;
        ask_store(store.put_topology(None, topology.version, value)).await?;
        return Ok(topology);
    };
    let mut topology: Topology =
        serde_json::from_value(stored.value).context("--store: the stored topology cannot be read")?;
    take_up_flags(config, &mut topology, &nodes)?;
    if topology.placement(config.shards).is_none() {
        if !topology.is_settled() {
            bail!(
                "--shards {}: no index has so many shards, and shards are moving; allowed: a number in use, or to try again when they have arrived",
                config.shards
            );
        }
        topology = topology.with_placement_for(config.shards);
        let value = serde_json::to_value(&topology).context("the topology cannot be stored")?;
        ask_store(store.put_topology(Some(stored.version), topology.version, value)).await?;
    }
    Ok(topology)
}

/// Takes the URLs that flags give to nodes of the store, and says what else of the flags does not count.
fn take_up_flags(config: &Config, topology: &mut Topology, nodes: &[Node]) -> anyhow::Result<()> {
    let known = nodes.iter().filter(|node| topology.position_of(&node.id).is_some()).count();
    if known == 0 && !nodes.is_empty() {
        let list = |nodes: &mut dyn Iterator<Item = &Node>| {
            nodes.map(|node| node.id.as_str()).collect::<Vec<_>>().join(", ")
        };
        bail!(
            "--node: this store belongs to the nodes {}; given: {}; allowed: some of the same, or none; others join by `miroir-ctl node add`",
            list(&mut topology.nodes.iter()),
            list(&mut nodes.iter())
        );
    }
    for given in nodes {
        let Some(position) = topology.position_of(&given.id) else {
            let advice = "ask for it with `miroir-ctl node add`";
            let fields =
                [("node", given.id.as_str()), ("consequence", "it is not taken"), ("to_take_it", advice)];
            observe::log::warn("node_not_in_store", &fields);
            continue;
        };
        let stored = &mut topology.nodes[usize::from(position.0)];
        if stored.group != given.group {
            bail!(
                "--node {}: it is in group {} of this store; given: {}; allowed: the same, or to remove it and to add it anew under another ID",
                given.id,
                stored.group,
                given.group
            );
        }
        stored.url.clone_from(&given.url);
    }
    if topology.replication_factor != config.replication_factor {
        let (stored, given) =
            (topology.replication_factor.to_string(), config.replication_factor.to_string());
        let fields =
            [("stored", stored.as_str()), ("given", &given), ("consequence", "the stored one counts")];
        observe::log::info("replication_factor_of_store", &fields);
    }
    Ok(())
}

/// Looks up all members of the cluster, which may take as long as the system's resolver does.
fn resolve_nodes(config: &Config, topology: &Topology) -> anyhow::Result<Vec<NodeAddress>> {
    let mut addresses = Vec::with_capacity(topology.nodes.len());
    for node in &topology.nodes {
        if topology.index_of(&node.id).is_none() {
            addresses.push(NodeAddress::nowhere(&node.id));
            continue;
        }
        let known = config::node_config(&format!("{}={}", node.id, node.url));
        let found = known.and_then(|known| NodeAddress::resolve(&known.id, &known.url, &config.tls));
        addresses.push(found.map_err(|reason| anyhow!("--node {reason}"))?);
    }
    Ok(addresses)
}

async fn load_snapshot(topology: Arc<Topology>, store: &Store) -> anyhow::Result<Snapshot> {
    let (indexes, aliases) = (ahash::AHashMap::new(), Aliases::new());
    let mut snapshot = Snapshot { topology: Arc::clone(&topology), indexes, aliases };
    for record in ask_store(store.indexes()).await? {
        let Some(placement) = topology.placement(record.shards).cloned() else {
            bail!(
                "--store: the index `{}` has {} shards, which the topology does not place",
                record.uid,
                record.shards
            );
        };
        snapshot.indexes.insert(record.uid.clone(), Arc::new(Index::new(record, placement)));
    }
    for record in ask_store(store.records(ALIASES, None, usize::MAX)).await? {
        let alias: Alias =
            serde_json::from_value(record.value).context("--store: a stored alias cannot be read")?;
        snapshot = snapshot.with_alias(&alias, record.revision);
    }
    Ok(snapshot.with_topology(topology))
}

/// A write clock that continues where the last process, or other pods, have come to.
async fn take_up_clock(store: &Store, is_shared: bool) -> anyhow::Result<Clock> {
    let ceiling = load_mark(store, CLOCK, CLOCK_KEY).await?.unwrap_or(0);
    if !is_shared {
        let clock = Clock::above(ceiling);
        // A process that follows before the first sweep must not give the same values again.
        put_mark(store, CLOCK, CLOCK_KEY, clock.ceiling(limits::CLOCK_AHEAD_MS)).await?;
        return Ok(clock);
    }
    let clock = Clock::default();
    clock.catch_up(ceiling, limits::CLOCK_AHEAD_MS);
    Ok(clock)
}

/// Restores hints and marks. Nodes that have something to catch up with serve nothing before.
async fn load_hints(
    config: &Config,
    topology: &Topology,
    store: &Store,
    now: Instant,
) -> anyhow::Result<(Health, Hints)> {
    let health = Health::new(topology.nodes.len(), now);
    let hints = Hints::new(topology.nodes.len(), config.hint_bytes_max);
    for size in ask_store(store.log_sizes(HINTS)).await? {
        if let Some(node) = topology.index_of(&size.stream) {
            hints.restore(node, size.entries, size.bytes);
            health.fall_behind(node);
        }
    }
    for size in ask_store(store.log_sizes(SUSPECT_SHARDS)).await? {
        let Some(node) = topology.index_of(&size.stream) else { continue };
        for header in headers(store, SUSPECT_SHARDS, &size.stream).await? {
            if let Ok(SuspectCopies::Everything { .. }) = serde_json::from_value(header) {
                hints.mark_full_resync(node);
                health.fall_behind(node);
            }
        }
    }
    for size in ask_store(store.log_sizes(UNAPPLIED)).await? {
        let Some(node) = topology.index_of(&size.stream) else { continue };
        for header in headers(store, UNAPPLIED, &size.stream).await? {
            let unapplied: Unapplied = serde_json::from_value(header).context("--store")?;
            hints.await_task(node, unapplied.task);
            health.fall_behind(node);
        }
    }
    for (position, node) in topology.nodes.iter().enumerate() {
        let newest = load_mark(store, NEWEST_TASKS, &node.id).await?.and_then(|uid| u32::try_from(uid).ok());
        let index = NodeIndex(u16::try_from(position).unwrap_or(u16::MAX));
        newest.into_iter().for_each(|uid| hints.saw_task(index, uid));
    }
    Ok((health, hints))
}

/// The headers of a whole log.
async fn headers(store: &Store, log: Table, stream: &str) -> anyhow::Result<Vec<serde_json::Value>> {
    let mut headers = Vec::new();
    let mut after = 0;
    loop {
        let page = ask_store(store.entries(log, stream, after, usize::MAX)).await?;
        let Some(last) = page.last() else { return Ok(headers) };
        after = last.sequence;
        headers.extend(page.into_iter().map(|entry| entry.header));
    }
}

async fn load_mark(store: &Store, table: Table, key: &str) -> anyhow::Result<Option<u64>> {
    Ok(ask_store(store.record(table, key)).await?.and_then(|record| record.value.as_u64()))
}

async fn put_mark(store: &Store, table: Table, key: &str, mark: u64) -> anyhow::Result<()> {
    let known = ask_store(store.record(table, key)).await?.map(|record| record.revision);
    ask_store(store.put_record(table, key, mark.into(), known)).await.map(drop)
}

/// A sink at an address that may not be reached is refused before the start; names are resolved when they are used.
fn check_sinks(config: &Config) -> anyhow::Result<()> {
    for sink in &config.cdc.sinks {
        let Some(address) = literal_address(sink) else { continue };
        if !outbound::is_allowed(&config.allowed_ip_networks, address) {
            let (name, ip) = (sink.name(), address.ip());
            anyhow::bail!(
                "option cdc-sink: {name:?} is not allowed; {ip} is of no public network: name its network in --allowed-ip-networks"
            );
        }
    }
    Ok(())
}

async fn load_webhooks(store: &Store) -> anyhow::Result<Versioned<Webhooks>> {
    let Some(record) = ask_store(store.record(WEBHOOKS, WEBHOOKS_KEY)).await? else {
        return Ok(Versioned { version: 0, value: Webhooks::new() });
    };
    let value =
        serde_json::from_value(record.value).context("--store: the stored webhooks cannot be read")?;
    Ok(Versioned { version: record.revision, value })
}

async fn load_page_tokens(config: &Config, store: &Store) -> anyhow::Result<Versioned<PageTokens>> {
    let record = ask_store(store.record(PAGE_SECRETS, PAGE_SECRETS_KEY)).await?;
    let (version, value) = match record {
        None => (0, refresh::page_tokens_of(config, Rotation::default())),
        Some(record) => {
            let stored = refresh::stored_page_tokens(config, record.value);
            (record.revision, stored.context("--store: the stored secrets of search pages cannot be read")?)
        }
    };
    Ok(Versioned { version, value })
}

async fn load_features(store: &Store) -> anyhow::Result<Versioned<Features>> {
    let record = ask_store(store.record(FEATURES, FEATURES_KEY)).await?;
    let none = || Versioned { version: 0, value: Features::default() };
    Ok(record.map_or_else(none, refresh::features_of))
}

async fn load_tenants(store: &Store) -> anyhow::Result<Versioned<Tenants>> {
    let Some(record) = ask_store(store.record(TENANTS, TENANTS_KEY)).await? else {
        return Ok(Versioned { version: 0, value: Tenants::default() });
    };
    let value = serde_json::from_value(record.value).context("--store: the stored tenants cannot be read")?;
    Ok(Versioned { version: record.revision, value })
}

/// The stored keys. Makes the default ones when there is a master key and no key at all.
async fn load_keys(config: &Config, store: &Store) -> anyhow::Result<KeyRing> {
    let mut keys: Vec<(ApiKey, u64)> = Vec::new();
    loop {
        let after = keys.last().map(|(key, _)| key.uid.to_string());
        let records = ask_store(store.records(KEYS, after.as_deref(), limits::KEYS_PER_READ)).await?;
        if records.is_empty() {
            break;
        }
        for record in records {
            let key =
                serde_json::from_value(record.value).context("--store: a stored API key cannot be read")?;
            keys.push((key, record.revision));
        }
    }
    if keys.is_empty() && config.master_key.is_some() {
        for key in ApiKey::defaults(clock::utc()) {
            let value = serde_json::to_value(&key).context("an API key cannot be stored")?;
            let revision = ask_store(store.put_record(KEYS, &key.uid.to_string(), value, None)).await?;
            keys.push((key, revision));
        }
    }
    Ok(KeyRing::new(config.master_key.clone(), keys))
}

/// The store's answer, or its error as one clear line.
async fn ask_store<T>(reply: Reply<T>) -> anyhow::Result<T> {
    reply.await.map_err(|error| anyhow!("--store: {error}"))
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;

    #[test]
    fn two_short_lives_give_no_value_of_the_clock_twice() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _thread) = store::open_sled(&directory.path().join("store")).unwrap();
        block_on(async {
            // The process before them has stored how far it may come, and died.
            let ahead = Clock::default().ceiling(limits::CLOCK_AHEAD_MS);
            put_mark(&store, CLOCK, CLOCK_KEY, ahead).await.unwrap();
            let one = take_up_clock(&store, false).await.unwrap();
            let last = (0..1000).map(|_| one.next()).last().unwrap();
            let other = take_up_clock(&store, false).await.unwrap();
            assert!(last > ahead && other.next() > last, "{last} {ahead}");
        });
    }
}
