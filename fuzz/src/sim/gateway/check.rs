//! Checkers: what must hold at all times, and what must be there after all faults.
//! - A register has the value acknowledged last, or one requested after that; likewise for deletes.
//! - Every acknowledged task has ended, and every pod reports the same end.
//! - No two pods lead one scope; no job panics; copies are equal.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway::state::leadership::scope;
use gateway::state::snapshot::{Index, Snapshot};

use super::client::Client;
use super::http::Question;
use super::kernel::{Site, kernel};
use super::listed;
use super::pod::View;
use super::record::{Known, Operation};
use crate::sim::gateway::model_node::{Disk, Documents};

/// The interval at which the checker looks for leaders.
const LEADERS_LOOK: Duration = Duration::from_millis(150);
/// The time at which a document was last written.
const STAMP: &str = "_miroir_updated_at";
/// The shard of a document.
const SHARD: &str = "_miroir_shard";
/// Log lines that are kept for a message.
const LINES_KEPT: usize = 60;

thread_local! {
    static LINES: RefCell<VecDeque<String>> = RefCell::default();
    static PANICS: RefCell<Vec<String>> = RefCell::default();
}

/// Receives what gateways log.
pub(super) fn heard(level: &str, event: &str, fields: &[(&str, &str)]) {
    let (now, site) = super::kernel::place();
    super::boundary::heard(site, event, fields);
    let line = format!("{:>9.3} site {site} {level} {event} {fields:?}", now.as_secs_f64());
    if event.starts_with("panic_") {
        PANICS.with_borrow_mut(|panics| panics.push(line.clone()));
    }
    if std::env::var_os("MIROIR_SIMULATION_LOG").is_some() {
        let _ = std::io::Write::write_fmt(&mut std::io::stderr().lock(), format_args!("{line}\n"));
    }
    LINES.with_borrow_mut(|lines| {
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    });
}

pub(super) fn forget() {
    LINES.take();
    PANICS.take();
    super::boundary::forget();
}

#[derive(Default)]
pub(super) struct Checks {
    wrong: RefCell<Vec<String>>,
}

impl Checks {
    /// Checks repeatedly that no scope has two leaders.
    pub(super) fn watch_leaders(self: &Rc<Self>, pods: Vec<View>) {
        for scope in scope::ALL {
            let leads =
                |pod: &&View| pod.borrow().as_ref().is_some_and(|shared| shared.coordinator.leads(scope));
            let leaders = pods.iter().filter(leads).count();
            if leaders > 1 {
                self.wrong.borrow_mut().push(format!("{leaders} pods lead {scope}"));
            }
        }
        let checks = Rc::clone(self);
        kernel().at(kernel().now() + LEADERS_LOOK, move || checks.watch_leaders(pods));
    }

    /// Fails if anything wrong was seen so far.
    ///
    /// # Panics
    /// When a violation was seen.
    pub(super) fn hold(&self, record: &Known) {
        let mut wrong = self.wrong.borrow().clone();
        wrong.extend(record.borrow().wrong.iter().cloned());
        PANICS.with_borrow(|panics| wrong.extend(panics.iter().cloned()));
        assert!(wrong.is_empty(), "at {:?}: {}", kernel().now(), listed(&wrong));
    }

    /// Asks every pod for every register and every task.
    pub(super) async fn final_state(&self, client: &Client) {
        let registers = client.record.borrow().registers.clone();
        for pod in &client.pods {
            for (key, operations) in &registers {
                let allowed = allowed(operations);
                match client.value_of(*pod, key).await {
                    Ok(found) if allowed.contains(&found.value) => {}
                    found => self.wrong.borrow_mut().push(format!(
                        "pod-{pod} has {found:?} for {key}, allowed: {allowed:?}; asked: {}",
                        told(operations)
                    )),
                }
            }
            client.list(*pod, true).await;
            client.list(*pod, false).await;
            self.final_indexes(client, *pod).await;
            let tasks: Vec<u64> = client.record.borrow().tasks.keys().copied().collect();
            for task in tasks {
                if !client.look_at(*pod, task).await {
                    self.wrong.borrow_mut().push(format!("the task {task} has not ended on pod-{pod}"));
                }
            }
        }
    }
}

impl Checks {
    /// Asks a pod for every index that clients created or deleted.
    async fn final_indexes(&self, client: &Client, pod: Site) {
        let fates = client.record.borrow().indexes.clone();
        for (name, fate) in fates {
            let answer = client.ask(pod, Question::get(&format!("/indexes/{name}"))).await;
            let is_there = match answer {
                Ok((200, _)) => true,
                Ok((404, _)) => false,
                other => {
                    self.wrong.borrow_mut().push(format!("pod-{pod} says {other:?} of {name}"));
                    continue;
                }
            };
            let must = fate.is_made && !fate.is_dropped && !fate.is_doubtful;
            if is_there != must && (must || fate.is_dropped) {
                self.wrong.borrow_mut().push(format!("{name} on pod-{pod}: {is_there}, known: {fate:?}"));
            }
        }
    }
}

/// The values that a register may have: the one acknowledged last, or any requested after it.
pub(super) fn allowed(operations: &[Operation]) -> BTreeSet<Option<u64>> {
    let last = operations.iter().rposition(|operation| operation.acknowledged.is_some());
    let mut allowed: BTreeSet<_> =
        operations[last.unwrap_or(0)..].iter().map(|operation| operation.value).collect();
    if last.is_none() {
        allowed.insert(None);
    }
    allowed
}

fn told(operations: &[Operation]) -> String {
    let last = operations.iter().rev().take(6).rev();
    let one = |operation: &Operation| {
        let acknowledged = operation.acknowledged.map(|(time, task)| (time.as_millis(), task));
        format!("{:?} at {} ms, acknowledged {acknowledged:?}", operation.value, operation.asked.as_millis())
    };
    last.map(one).collect::<Vec<_>>().join("; ")
}

/// Reports pods that disagree on the indexes, nodes that have others, and unequal copies of documents.
pub(super) fn differing(
    pods: &BTreeMap<Site, View>,
    nodes: &BTreeMap<Site, Rc<RefCell<Disk>>>,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut known: Option<(Site, Arc<Snapshot>, BTreeMap<String, u64>)> = None;
    let revision_of = |index: &Arc<Index>| (index.record.node_uid.clone(), index.record.revision);
    for (site, pod) in pods {
        let Some(shared) = pod.borrow().clone() else {
            found.push(format!("pod-{site} is not up"));
            continue;
        };
        let snapshot = shared.snapshot();
        for node in snapshot.topology.every_node() {
            let state = shared.nodes.health.state(node);
            if !state.serves_reads() {
                let hints = shared.nodes.hints.pending(node);
                found.push(format!("pod-{site} does not read node {}: {state:?}, {hints} hints", node.0));
            }
        }
        let indexes: BTreeMap<_, _> = snapshot.with_twins().iter().map(revision_of).collect();
        match &known {
            Some((other, before, _)) if before.topology.version != snapshot.topology.version => {
                let versions = (snapshot.topology.version, before.topology.version);
                found.push(format!("pod-{site} and pod-{other} have the topologies {versions:?}"));
            }
            Some((other, _, others)) if *others != indexes => {
                found.push(format!("pod-{site} knows {indexes:?}, pod-{other} {others:?}"));
            }
            Some(_) => {}
            None => known = Some((*site, snapshot, indexes)),
        }
    }
    let Some((_, snapshot, names)) = known else { return found };
    let members = snapshot.topology.every_node().into_iter();
    let members: BTreeSet<Site> = members.map(|node| site_of(&snapshot.topology.node(node).id)).collect();
    for (site, disk) in nodes {
        let disk = disk.borrow();
        if !members.contains(site) {
            let held = disk.indexes.iter().filter(|(_, index)| !index.documents.is_empty());
            found.extend(
                held.map(|(name, _)| format!("node-{site} is no member and holds documents of {name}")),
            );
            continue;
        }
        let held = disk.indexes.keys();
        found.extend(
            held.filter(|name| !names.contains_key(*name))
                .map(|name| format!("node-{site} still has {name}")),
        );
        let lacks = names.keys().filter(|name| !disk.indexes.contains_key(*name));
        found.extend(lacks.map(|name| format!("node-{site} lacks {name}")));
    }
    snapshot.with_twins().iter().for_each(|index| unequal(&snapshot, index, nodes, &mut found));
    snapshot.indexes.values().for_each(|index| unlike_its_twin(&snapshot, index, nodes, &mut found));
    snapshot.indexes.values().for_each(|index| unlike_settings(index, &members, nodes, &mut found));
    found.sort_unstable();
    found
}

/// Reports nodes that have other settings for an index, or for its twin, than the first node has.
fn unlike_settings(
    index: &Index,
    members: &BTreeSet<Site>,
    nodes: &BTreeMap<Site, Rc<RefCell<Disk>>>,
    found: &mut Vec<String>,
) {
    let twin = index.twin.as_ref().map(|twin| &twin.record.node_uid);
    let mut first = None;
    for name in [Some(&index.record.node_uid), twin].into_iter().flatten() {
        for site in members {
            let disk = nodes.get(site).map(|disk| disk.borrow());
            let Some(has) = disk.and_then(|disk| Some(disk.indexes.get(name)?.all_settings())) else {
                continue;
            };
            let expected = first.get_or_insert_with(|| has.clone());
            if *expected != has {
                found.push(format!("node-{site} has the settings {has} for {name}, another {expected}"));
            }
        }
    }
}

/// The site of a node.
pub(super) fn site_of(id: &str) -> Site {
    id.strip_prefix("node-").and_then(|site| site.parse().ok()).unwrap_or(usize::MAX)
}

/// The sites that own a document.
fn owners(snapshot: &Snapshot, index: &Index, key: &str) -> BTreeSet<Site> {
    let shard = router::shard_of(key, index.record.shards);
    let groups = 0..snapshot.topology.groups().len();
    let owners = groups.flat_map(|group| index.placement.owners(group, shard));
    owners.map(|node| site_of(&snapshot.topology.node(*node).id)).collect()
}

/// What the nodes hold of an index, without what may differ from copy to copy.
fn copies(name: &str, nodes: &BTreeMap<Site, Rc<RefCell<Disk>>>) -> BTreeMap<Site, Documents> {
    let of_node = |(site, disk): (&Site, &Rc<RefCell<Disk>>)| {
        let held = disk.borrow().indexes.get(name).map(|index| index.documents.clone());
        let mut held = held.unwrap_or_default();
        // Copies may differ in the time of their write.
        held.values_mut().for_each(|document| drop(document.remove(STAMP)));
        (*site, held)
    };
    nodes.iter().map(of_node).collect()
}

/// Reports unequal copies of documents, documents that are marked with another shard than theirs, and copies on nodes
/// that should have none.
fn unequal(
    snapshot: &Snapshot,
    index: &Index,
    nodes: &BTreeMap<Site, Rc<RefCell<Disk>>>,
    found: &mut Vec<String>,
) {
    let name = &index.record.node_uid;
    let copies = copies(name, nodes);
    let keys: BTreeSet<&String> = copies.values().flat_map(BTreeMap::keys).collect();
    for key in keys {
        let owners = owners(snapshot, index, key);
        let expected = owners.first().and_then(|owner| copies.get(owner)?.get(key));
        let filter =
            router::shard_filter(&[router::shard_of(key, index.record.shards)].into_iter().collect());
        let marker = expected.and_then(|document| document.get(SHARD)?.as_str());
        if marker.is_some_and(|marker| !filter.contains(marker)) {
            found.push(format!("{name}/{key} is marked {marker:?} and belongs to {filter}"));
        }
        for (site, held) in &copies {
            let has = held.get(key);
            if owners.contains(site) && has != expected {
                found.push(format!("{name}/{key}: node-{site} has {has:?}, another {expected:?}"));
            }
            if !owners.contains(site) && has.is_some() {
                found.push(format!("{name}/{key}: node-{site} holds it and owns it not"));
            }
        }
    }
}

/// Reports documents that the two sets of copies of an index do not have alike.
fn unlike_its_twin(
    snapshot: &Snapshot,
    index: &Index,
    nodes: &BTreeMap<Site, Rc<RefCell<Disk>>>,
    found: &mut Vec<String>,
) {
    let Some(twin) = &index.twin else { return };
    let contents = |set: &Index| {
        let copies = copies(&set.record.node_uid, nodes);
        let owned = copies.into_iter().flat_map(|(site, held)| {
            held.into_iter().filter(move |(key, _)| owners(snapshot, set, key).contains(&site))
        });
        let unmarked = owned.map(|(key, mut document)| {
            document.remove(SHARD);
            (key, document)
        });
        unmarked.collect::<Documents>()
    };
    let (serving, further) = (contents(index), contents(twin));
    for key in serving.keys().chain(further.keys()).collect::<BTreeSet<_>>() {
        if serving.get(key) != further.get(key) {
            let (one, other) = (serving.get(key), further.get(key));
            found.push(format!("{key} is {one:?} in {} and {other:?} in its twin", index.record.uid));
        }
    }
}
