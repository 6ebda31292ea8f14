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

use super::client::{Client, Known, Operation};
use super::http::Question;
use super::kernel::{Site, kernel};
use super::listed;
use super::pod::View;
use crate::sim::gateway::model_node::{Disk, Documents};

/// The interval at which the checker looks for leaders.
const LEADERS_LOOK: Duration = Duration::from_millis(150);
/// The time at which a document was last written.
const STAMP: &str = "_miroir_updated_at";
/// Log lines that are kept for a message.
const LINES_KEPT: usize = 60;

thread_local! {
    static LINES: RefCell<VecDeque<String>> = RefCell::default();
    static PANICS: RefCell<Vec<String>> = RefCell::default();
}

/// Receives what gateways log.
pub(super) fn heard(level: &str, event: &str, fields: &[(&str, &str)]) {
    let (now, site) = super::kernel::place();
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
                    Ok(found) if allowed.contains(&found) => {}
                    found => self.wrong.borrow_mut().push(format!(
                        "pod-{pod} has {found:?} for {key}, allowed: {allowed:?}; asked: {}",
                        told(operations)
                    )),
                }
            }
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
        let indexes = snapshot.indexes.values();
        let indexes: BTreeMap<_, _> =
            indexes.map(|index| (index.record.node_uid.clone(), index.record.revision)).collect();
        match &known {
            Some((other, _, others)) if *others != indexes => {
                found.push(format!("pod-{site} knows {indexes:?}, pod-{other} {others:?}"));
            }
            Some(_) => {}
            None => known = Some((*site, snapshot, indexes)),
        }
    }
    let Some((_, snapshot, names)) = known else { return found };
    for (site, disk) in nodes {
        let disk = disk.borrow();
        let held = disk.indexes.keys();
        found.extend(
            held.filter(|name| !names.contains_key(*name))
                .map(|name| format!("node-{site} still has {name}")),
        );
        let lacks = names.keys().filter(|name| !disk.indexes.contains_key(*name));
        found.extend(lacks.map(|name| format!("node-{site} lacks {name}")));
    }
    snapshot.indexes.values().for_each(|index| unequal(&snapshot, index, nodes, &mut found));
    found.sort_unstable();
    found
}

/// Reports unequal copies of documents, and copies on nodes that should have none.
fn unequal(
    snapshot: &Snapshot,
    index: &Index,
    nodes: &BTreeMap<Site, Rc<RefCell<Disk>>>,
    found: &mut Vec<String>,
) {
    let name = &index.record.node_uid;
    let copies: Vec<(Site, Documents)> = nodes
        .iter()
        .map(|(site, disk)| {
            let held = disk.borrow().indexes.get(name).map(|index| index.documents.clone());
            let mut held = held.unwrap_or_default();
            // Copies may differ in the time of their write.
            held.values_mut().for_each(|document| drop(document.remove(STAMP)));
            (*site, held)
        })
        .collect();
    let keys: BTreeSet<&String> = copies.iter().flat_map(|(_, held)| held.keys()).collect();
    for key in keys {
        let shard = router::shard_of(key, index.record.shards);
        let groups = 0..snapshot.topology.groups().len();
        let owners: BTreeSet<usize> = groups
            .flat_map(|group| index.placement.owners(group, shard).iter().map(|node| usize::from(node.0)))
            .collect();
        let at = |place: usize| copies[place].1.get(key);
        let expected = owners.first().and_then(|owner| at(*owner));
        for (place, (site, _)) in copies.iter().enumerate() {
            match owners.contains(&place) {
                true if at(place) != expected => {
                    found.push(format!("{key}: node-{site} has {:?}, another {expected:?}", at(place)));
                }
                false if at(place).is_some() => {
                    found.push(format!("{key}: node-{site} holds it and owns it not"))
                }
                _ => {}
            }
        }
    }
}
