//! Planted flaws: promises that the simulated world breaks, so that the checkers have something to find.
//!
//! Invariant: the gateway's code is the product's; a flaw is in its store, in its nodes, or in its options.

use gateway::nodes::hints::{HINTS, SUSPECT_SHARDS};
use gateway::state::placed::FOLLOWED;
use serde_json::json;
use std::time::Duration;
use store::Change;

use super::kernel::{self, Site};
use super::record::Operation;
use super::{FIRST_NODE, WORLD, World, boundary, check, client};

/// A version of the topology that no run reaches.
const FOLLOWED_LIE: u64 = 1 << 40;

/// A flaw of the simulated world, which the checkers must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The store forgets the hints (the writes that nodes have missed), and copies are not compared.
    HintsForgotten,
    /// Each of two pods has a store of its own, so both lead.
    TwoStores,
    /// A deleted document reappears on all its nodes.
    DeleteUndone,
    /// An overwritten value reappears on all its nodes.
    WriteLost,
    /// The store forgets a task that clients know.
    TaskForgotten,
    /// What new copies have lost before they serve is not looked for: the delta pass is left out.
    DeltaPassSkipped,
    /// The store says that every pod follows before nodes get further copies.
    MovedTooEarly,
    /// The store says that every pod follows before old copies are deleted.
    SweptTooEarly,
}

impl Flaw {
    pub const ALL: [Self; 8] = [
        Self::HintsForgotten,
        Self::TwoStores,
        Self::DeleteUndone,
        Self::WriteLost,
        Self::TaskForgotten,
        Self::DeltaPassSkipped,
        Self::MovedTooEarly,
        Self::SweptTooEarly,
    ];

    /// Whether it shows only while the cluster changes its shape.
    #[must_use]
    pub fn changes_shape(self) -> bool {
        matches!(self, Self::DeltaPassSkipped | Self::MovedTooEarly | Self::SweptTooEarly)
    }
}

impl World {
    /// Begins a flaw that lasts for the whole run, if there is one.
    pub(super) fn begin_flaw(&self) {
        match self.flaw {
            Some(Flaw::HintsForgotten) => self.forget_hints(),
            Some(Flaw::MovedTooEarly) => self.vouch_for_all(&["ComputingAssignments", "DualWrite"]),
            Some(Flaw::SweptTooEarly) => self.vouch_for_all(&["CutoverActivate"]),
            Some(
                Flaw::TwoStores
                | Flaw::DeleteUndone
                | Flaw::WriteLost
                | Flaw::TaskForgotten
                | Flaw::DeltaPassSkipped,
            )
            | None => {}
        }
    }

    /// Performs a flaw that takes effect at the end, if there is one and something to apply it to.
    pub(super) fn spoil(&self) {
        let record = self.record.borrow();
        let register = |wanted: fn(&Option<u64>) -> bool| {
            let certain = |(key, operations): (&String, &Vec<Operation>)| {
                let allowed = check::allowed(operations);
                (allowed.len() == 1 && allowed.iter().all(wanted)).then(|| key.clone())
            };
            record.registers.iter().find_map(certain)
        };
        match self.flaw {
            Some(Flaw::DeleteUndone) => {
                register(Option::is_none).into_iter().for_each(|key| self.overwrite(&key, 1));
            }
            Some(Flaw::WriteLost) => {
                register(Option::is_some).into_iter().for_each(|key| self.overwrite(&key, 1_000_000));
            }
            Some(Flaw::TaskForgotten) => {
                let tasks =
                    record.tasks.keys().filter_map(|task| u32::try_from(*task).ok()).take(1).collect();
                let store = self.service.connect(WORLD);
                self.kernel.on(WORLD, || {
                    self.kernel.spawn(async move { drop(store.delete_tasks(tasks).await) });
                });
            }
            Some(
                Flaw::HintsForgotten
                | Flaw::TwoStores
                | Flaw::DeltaPassSkipped
                | Flaw::MovedTooEarly
                | Flaw::SweptTooEarly,
            )
            | None => {}
        }
    }

    /// Writes a value into a register on all nodes that own it, without the pods' knowledge.
    fn overwrite(&self, key: &str, value: u64) {
        let view = self.pods.values().find_map(|pod| pod.borrow().clone()).expect("a pod is up at the end");
        let snapshot = view.snapshot();
        let index = &snapshot.indexes[client::INDEX];
        let shard = router::shard_of(key, index.record.shards);
        let filter = router::shard_filter(&[shard].into_iter().collect());
        let marker = filter.split('"').nth(1).unwrap_or_default();
        let document = json!({"_miroir_shard": marker, "id": key, "value": value});
        for group in 0..snapshot.topology.groups().len() {
            for owner in index.placement.owners(group, shard) {
                let mut disk = self.nodes[&(FIRST_NODE + usize::from(owner.0))].borrow_mut();
                let held = disk.indexes.get_mut(&index.record.node_uid).map(|index| &mut index.documents);
                let document = document.as_object().cloned().unwrap_or_default();
                held.into_iter().for_each(|held| drop(held.insert(key.to_owned(), document.clone())));
            }
        }
    }

    /// Makes the store forget each hint as soon as it is stored.
    fn forget_hints(&self) {
        let store = self.service.connect(WORLD);
        self.kernel.on(WORLD, || {
            self.kernel.spawn(async move {
                loop {
                    for log in [HINTS, SUSPECT_SHARDS] {
                        for size in store.log_sizes(log).await.unwrap_or_default() {
                            let cut = Change::Truncate { log, stream: size.stream, through: u64::MAX - 1 };
                            drop(store.commit(vec![cut]).await);
                        }
                    }
                    kernel::sleep(Duration::from_millis(20)).await;
                }
            });
        });
    }

    /// Makes the store say, while an operation is in one of these phases, that every pod follows.
    fn vouch_for_all(&self, phases: &'static [&'static str]) {
        let store = self.service.connect(WORLD);
        self.kernel.on(WORLD, || {
            self.kernel.spawn(async move {
                loop {
                    let lies = boundary::is_in(phases);
                    let known = store.records(FOLLOWED, None, usize::MAX).await.unwrap_or_default();
                    for record in known {
                        let is_lie = record.value["version"] == FOLLOWED_LIE;
                        if lies && !is_lie {
                            let lie = json!({"version": FOLLOWED_LIE, "isSettled": true});
                            let put = store.put_record(FOLLOWED, &record.key, lie, Some(record.revision));
                            drop(put.await);
                        }
                        if !lies && is_lie {
                            // The pod will tell the truth anew.
                            drop(store.delete_record(FOLLOWED, &record.key, record.revision).await);
                        }
                    }
                    kernel::sleep(Duration::from_millis(5)).await;
                }
            });
        });
    }

    /// Lets a node lose what it was given of a shard that it is to own, and does not own yet.
    pub(super) fn slip(&self, leader: Site) {
        let Some(view) = self.pods[&leader].borrow().clone() else { return };
        let snapshot = view.snapshot();
        let mut indexes: Vec<_> = snapshot.with_twins();
        indexes.sort_by(|one, other| one.record.node_uid.cmp(&other.record.node_uid));
        for index in indexes {
            for (shard, node) in index.placement.extras() {
                let site = check::site_of(&snapshot.topology.node(*node).id);
                let Some(disk) = self.nodes.get(&site) else { continue };
                let mut disk = disk.borrow_mut();
                let Some(held) = disk.indexes.get_mut(&index.record.node_uid) else { continue };
                let shards = index.record.shards;
                let lost = held.documents.keys().find(|key| router::shard_of(key, shards) == *shard).cloned();
                if let Some(key) = lost {
                    self.kernel.note(("slip", site, &key));
                    held.documents.remove(&key);
                }
            }
        }
    }
}
