//! The snapshot: what every core needs to know of the cluster, one immutable value behind a swapped pointer.
//!
//! Invariants: a snapshot never changes. A reader takes one at the start of a request and keeps it to the end. A
//! writer replaces it as a whole (`publish`), after its change is durable.

pub mod aliases;

use std::sync::Arc;

use ahash::AHashMap;
use arc_swap::ArcSwap;
use router::{Placement, Topology};
use serde_json::Value;
use store::{IndexRecord, SettingsAhead};

use crate::{
    api::{
        error::{ApiError, Code},
        index_rules::{IndexRules, TieBreak},
        settings::SettingsChange,
        tasks::view::{invalid_index_uid_reason, is_index_uid},
    },
    state::aliases::Aliases,
};

/// The cluster at one moment.
#[derive(Clone)]
pub struct Snapshot {
    pub topology: Arc<Topology>,
    pub indexes: AHashMap<String, Arc<Index>>,
    /// Names that stand for indexes; none of them is an index's.
    pub aliases: Aliases,
}

/// One index as clients know it.
#[derive(Clone)]
pub struct Index {
    pub record: IndexRecord,
    pub placement: Arc<Placement>,
    pub rules: IndexRules,
    /// The indexes that are read as this one, when it stands for an alias of several; else empty.
    pub targets: Vec<Arc<Index>>,
    /// Its copies under another number of shards, which get every write as well and are not read.
    pub twin: Option<Arc<Index>>,
}

impl Index {
    /// Derives an index from its record; it gets its twin with its place in a snapshot.
    #[must_use]
    pub fn new(record: IndexRecord, placement: Arc<Placement>) -> Self {
        let mut rules = IndexRules::from_settings(&record.settings);
        rules.tie_break = TieBreak::of(record.primary_key.as_deref(), &record.settings);
        Self { record, placement, rules, targets: Vec::new(), twin: None }
    }

    /// Whether the index has embedders, or may have some once pending changes of settings have ended.
    #[must_use]
    pub fn has_embedders(&self) -> bool {
        let names =
            |settings: &Value| settings["embedders"].as_object().is_some_and(|names| !names.is_empty());
        names(&self.record.settings) || self.record.settings_ahead.iter().any(|ahead| names(&ahead.change))
    }

    /// The settings once every change that nodes were sent has succeeded.
    #[must_use]
    pub fn settings_ahead(&self) -> Value {
        settings_after(&self.record.settings, &self.record.settings_ahead)
    }
}

/// Settings after some changes.
#[must_use]
pub fn settings_after(settings: &Value, changes: &[SettingsAhead]) -> Value {
    changes.iter().fold(settings.clone(), |settings, ahead| match &ahead.change {
        Value::Object(change) => SettingsChange::Whole(change.clone()).owned_after(&settings),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => settings,
    })
}

impl Snapshot {
    /// All indexes by name, for work on each of them, in an order that every run repeats.
    #[must_use]
    pub fn in_order(&self) -> Vec<&Arc<Index>> {
        let mut indexes = self.indexes.values().collect::<Vec<_>>();
        indexes.sort_unstable_by(|one, other| one.record.uid.cmp(&other.record.uid));
        indexes
    }

    /// All copies that nodes hold: every index, and behind it its twin if it has one.
    #[must_use]
    pub fn with_twins(&self) -> Vec<Arc<Index>> {
        let both = |index: &Arc<Index>| [Some(Arc::clone(index)), index.twin.clone()];
        self.in_order().into_iter().flat_map(both).flatten().collect()
    }

    /// The copies that nodes hold under a name: an index or a twin.
    #[must_use]
    pub fn on_nodes(&self, node_uid: &str) -> Option<&Arc<Index>> {
        let both = self.indexes.values().flat_map(|index| [Some(index), index.twin.as_ref()]);
        both.flatten().find(|index| index.record.node_uid == node_uid)
    }

    /// The name of an index on the nodes. For an unknown index it is a name that no index there has, since those end
    /// in a number.
    #[must_use]
    pub fn name_on_nodes(&self, uid: &str) -> String {
        match self.find(uid) {
            Some(index) => index.record.node_uid.clone(),
            None => format!("{uid}-none"),
        }
    }

    /// The same indexes where another topology places them.
    #[must_use]
    pub fn with_topology(&self, topology: Arc<Topology>) -> Self {
        let mut indexes = self.indexes.clone();
        indexes.values_mut().for_each(|index| place(index, &topology));
        Self { topology, ..self.among(indexes) }
    }

    /// The same cluster with one index added or replaced; a newer record of it stays.
    #[must_use]
    pub fn with_index(&self, mut index: Arc<Index>) -> Self {
        let known = self.indexes.get(&index.record.uid);
        if known.is_some_and(|known| known.record.revision > index.record.revision) {
            // That one was stored later and shown first.
            return self.clone();
        }
        // It may have been derived from an older topology.
        place(&mut index, &self.topology);
        let mut indexes = self.indexes.clone();
        indexes.insert(index.record.uid.clone(), index);
        self.among(indexes)
    }

    /// The same cluster with a record of an index that was stored in place of an earlier one. An index that is gone
    /// stays away: it was deleted after that record was stored.
    #[must_use]
    pub fn with_changed(&self, index: Arc<Index>) -> Self {
        match self.indexes.contains_key(&index.record.uid) {
            true => self.with_index(index),
            false => self.clone(),
        }
    }

    /// The same cluster without one index.
    #[must_use]
    pub fn without_index(&self, uid: &str) -> Self {
        let mut indexes = self.indexes.clone();
        indexes.remove(uid);
        self.among(indexes)
    }

    /// The same cluster with other indexes, to which its aliases now refer.
    fn among(&self, indexes: AHashMap<String, Arc<Index>>) -> Self {
        let (topology, aliases) = (Arc::clone(&self.topology), self.aliases.clone());
        Self { topology, indexes, aliases }.relinked()
    }
}

fn place(index: &mut Arc<Index>, topology: &Topology) {
    let placement = topology.placement(index.record.shards).unwrap_or(&index.placement);
    let twin = twin_of(&index.record, topology);
    let same_twin = match (&twin, &index.twin) {
        (None, None) => true,
        (Some(now), Some(known)) => {
            now.record == known.record && Arc::ptr_eq(&now.placement, &known.placement)
        }
        (None, Some(_)) | (Some(_), None) => false,
    };
    if !Arc::ptr_eq(placement, &index.placement) || !same_twin {
        let placement = Arc::clone(placement);
        *index = Arc::new(Index { placement, twin: twin.map(Arc::new), ..Index::clone(index) });
    }
}

fn twin_of(record: &IndexRecord, topology: &Topology) -> Option<Index> {
    let twin = record.twin.as_ref()?;
    let placement = topology.placement(twin.shards)?;
    let (node_uid, shards) = (twin.node_uid.clone(), twin.shards);
    // No revision is 0, so that the record of a twin is never stored in place of that of its index.
    let record = IndexRecord { node_uid, shards, twin: None, revision: 0, ..record.clone() };
    Some(Index::new(record, Arc::clone(placement)))
}

/// Replaces the snapshot by a changed one; concurrent changes of other cores are kept.
pub fn publish(current: &ArcSwap<Snapshot>, change: impl Fn(&Snapshot) -> Snapshot) {
    current.rcu(|snapshot| change(snapshot));
}

/// Finds the index that a path names, by its own name or by an alias.
///
/// # Errors
/// 400 `invalid_index_uid`, 404 `index_not_found`; 400 for an alias whose indexes cannot be read as one.
pub(crate) fn find_index<'a>(snapshot: &'a Snapshot, uid: &str) -> Result<&'a Arc<Index>, ApiError> {
    if let Some(index) = snapshot.indexes.get(uid) {
        return Ok(index);
    }
    if let Some(alias) = snapshot.aliases.get(uid) {
        return alias.index();
    }
    check_index_uid(uid)?;
    Err(ApiError::new(Code::IndexNotFound, format!("Index `{uid}` not found.")))
}

/// # Errors
/// 400 `invalid_index_uid`.
pub(crate) fn check_index_uid(uid: &str) -> Result<(), ApiError> {
    match is_index_uid(uid) {
        true => Ok(()),
        false => Err(ApiError::new(Code::InvalidIndexUid, invalid_index_uid_reason(uid))),
    }
}
