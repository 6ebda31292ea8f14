//! Where shards are, as this process has it: taken in from the store, and known to be out of use when it was replaced.
//!
//! Invariants: a node has its address before the first core can plan with it; what was replaced by a newer version is
//! remembered until nobody holds it any more; a pod that has not seen the store for too long reads nothing, so that
//! others know when it plans with an old version no more.

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use router::{Node, Standing, Topology};
use serde::{Deserialize, Serialize};
use store::{StoreError, Table};

use crate::{
    config::{self, limits},
    nodes::address::NodeAddress,
    observe::log,
    state::{
        shared::Shared,
        snapshot::{Snapshot, publish},
    },
    wire::outbound::blocking,
};

/// What each pod plans with, and nothing older: a [`Followed`] by pod.
pub const FOLLOWED: Table = Table::named("topology_followed");

/// A pod's word of the topology that it plans with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Followed {
    pub version: u64,
    /// Whether no shards were moving in it: the pod then reads for longer without the store.
    pub is_settled: bool,
}

/// How long a pod reads without hearing of the store.
#[must_use]
pub const fn reads_without_store_max(is_settled: bool) -> Duration {
    if is_settled { limits::READS_WITHOUT_STORE_MAX } else { limits::MOVING_READS_WITHOUT_STORE_MAX }
}

/// Whether this process may read where its topology says that documents are.
#[must_use]
pub fn is_trusted(shared: &Shared) -> bool {
    let coordinator = &shared.coordinator;
    if !coordinator.is_shared() {
        return true;
    }
    let is_settled = shared.snapshot.load().topology.is_settled();
    coordinator.now().saturating_sub(coordinator.vouched_at()) <= reads_without_store_max(is_settled)
}

/// Tells the other pods that this one plans with a version of the topology, or newer ones.
///
/// # Errors
/// What the store says.
pub async fn announce(shared: &Shared, version: u64) -> Result<(), StoreError> {
    let (store, pod) = (&shared.store, shared.coordinator.pod());
    let followed = Followed { version, is_settled: shared.snapshot().topology.is_settled() };
    let value = serde_json::to_value(followed).map_err(|error| StoreError::Io(error.to_string()))?;
    let revision = store.record(FOLLOWED, pod).await?.map(|record| record.revision);
    store.put_record(FOLLOWED, pod, value, revision).await.map(drop)
}

/// Makes sure that this process plans with the newest version, and remembers when it asked; says whether the other
/// pods know what it plans with.
///
/// # Errors
/// What the store says; that a new node cannot be found.
pub async fn vouch(shared: &Shared) -> Result<bool, StoreError> {
    let asked_at = shared.coordinator.now();
    refresh(shared).await?;
    shared.coordinator.vouch(asked_at);
    Ok(shared.store.record(FOLLOWED, shared.coordinator.pod()).await?.is_some())
}

/// Takes back what this pod has told the others: it reads nothing any more.
///
/// # Errors
/// What the store says.
pub async fn withdraw(shared: &Shared) -> Result<(), StoreError> {
    let (store, pod) = (&shared.store, shared.coordinator.pod());
    match store.record(FOLLOWED, pod).await? {
        Some(record) => store.delete_record(FOLLOWED, pod, record.revision).await,
        None => Ok(()),
    }
}

/// Takes in the stored topology where it is newer.
///
/// # Errors
/// What the store says; that a new node cannot be found.
pub async fn refresh(shared: &Shared) -> Result<(), StoreError> {
    let Some(stored) = shared.store.topology().await? else { return Ok(()) };
    if stored.version <= shared.snapshot().topology.version {
        return Ok(());
    }
    let topology = serde_json::from_value::<Topology>(stored.value);
    let topology = topology.map_err(|error| StoreError::Io(format!("the stored topology: {error}")))?;
    adopt(shared, topology).await
}

/// Plans with a topology from now on, unless it is older than what is planned with.
///
/// # Errors
/// When a new node cannot be found.
pub async fn adopt(shared: &Shared, topology: Topology) -> Result<(), StoreError> {
    let before = Arc::clone(&shared.snapshot().topology);
    if topology.version <= before.version {
        return Ok(());
    }
    for position in shared.nodes.addresses.len()..topology.nodes.len() {
        let node = &topology.nodes[position];
        let standing =
            topology.index_of(&node.id).map_or(Standing::Removed, |index| topology.standing(index));
        let address = match standing {
            Standing::Removed => NodeAddress::nowhere(&node.id),
            Standing::Active | Standing::Drained => find(shared, node).await.map_err(|reason| {
                log::error("node_not_found", &[("node", &node.id), ("reason", &reason)]);
                StoreError::Unreachable(reason)
            })?,
        };
        shared.nodes.addresses.put(position, address);
    }
    for node in topology.every_node() {
        let was_member =
            before.nodes.get(usize::from(node.0)).is_some() && before.standing(node) != Standing::Removed;
        if !was_member {
            // It serves nothing before it has been let in.
            shared.nodes.health.fall_behind(node);
        }
    }
    let topology = Arc::new(topology);
    // It is watched before it is replaced, so that nobody takes it for out of use in between.
    shared.retired.rcu(|retired| {
        let alive = retired.iter().filter(|old| old.strong_count() > 0).cloned();
        alive.chain([Arc::downgrade(&before)]).collect::<Vec<Weak<Topology>>>()
    });
    publish(&shared.snapshot, |snapshot| match snapshot.topology.version < topology.version {
        true => snapshot.with_topology(Arc::clone(&topology)),
        false => Snapshot::clone(snapshot),
    });
    let version = topology.version.to_string();
    log::info("topology", &[("version", &version), ("nodes", &topology.every_node().len().to_string())]);
    for node in before.every_node() {
        if topology.standing(node) == Standing::Removed {
            // What is stored of it goes with the commit that removed it.
            drop(shared.nodes.hints.forget(node, &topology.node(node).id));
            shared.nodes.health.forget(node);
        }
    }
    Ok(())
}

/// Looks a node up, which holds up nobody else.
///
/// # Errors
/// Why it cannot be found.
pub async fn find(shared: &Shared, node: &Node) -> Result<NodeAddress, String> {
    let known = config::node_config(&format!("{}={}", node.id, node.url))?;
    let tls = shared.config.tls.clone();
    if known.url.host.parse::<IpAddr>().is_ok() {
        // Nobody has to be asked.
        return NodeAddress::resolve(&known.id, &known.url, &tls);
    }
    let found = blocking("resolver", move || NodeAddress::resolve(&known.id, &known.url, &tls)).await;
    found.unwrap_or_else(|| Err("no thread could be had to look it up".to_owned()))
}

/// Whether nothing in this process plans with an older version than the newest one.
#[must_use]
pub fn is_alone(shared: &Shared) -> bool {
    shared.retired.load().iter().all(|old| old.strong_count() == 0)
}
