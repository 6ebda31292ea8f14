//! The settings of an index on its nodes: compares them with what the gateway derived, and sends them again.
//!
//! Invariants: nodes of one version have equal settings in canonical form. A hash of what nodes had when a version of
//! the settings was committed is durable, so that a change behind the gateway's back is noticed even where all nodes
//! have it. A node is sent all settings of an index, while the index's lane is locked.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::try_join_all;
use http::Method;
use router::NodeIndex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Change, Table};

use crate::{
    api::settings::{Derivation, whole_for_nodes},
    config::limits,
    repair::{
        digest, foreign_tasks,
        replica::Replica,
        report::{Pace, RepairError},
    },
    state::{core::Core, snapshot::Index},
};

/// The table of what nodes had at the last commit, by the index's name on the nodes.
pub(crate) const SETTINGS: Table = Table::named("settings");

/// A committed version of an index's settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Committed {
    pub version: u64,
    /// The part of them that the gateway owns.
    pub settings: Value,
    /// The key by which nodes break ties.
    pub primary_key: Option<String>,
    /// Hashes of the settings on nodes, by version of the nodes.
    pub hashes: BTreeMap<String, u64>,
}

/// One index on some nodes.
pub(crate) struct Copies<'a> {
    core: &'a Core,
    pub(crate) index: Arc<Index>,
    nodes: Vec<NodeIndex>,
}

/// What was read of nodes: each one's version and the hash of its settings.
pub(crate) type Hashes = Vec<(String, u64)>;

impl<'a> Copies<'a> {
    pub(crate) fn new(core: &'a Core, index: Arc<Index>, nodes: Vec<NodeIndex>) -> Self {
        Self { core, index, nodes }
    }

    /// Reads the settings on all the nodes.
    pub(crate) async fn read(&self) -> Result<Hashes, RepairError> {
        let read = self.nodes.iter().map(|node| async move {
            let replica = self.replica(*node);
            let settings = replica.read(&self.target(), limits::REPAIR_HELD_REQUEST_TIMEOUT).await?;
            let version = replica.read("/version", limits::REPAIR_HELD_REQUEST_TIMEOUT).await?;
            let version = version["pkgVersion"].as_str().unwrap_or_default().to_owned();
            Ok::<_, RepairError>((version, hash(settings)))
        });
        try_join_all(read).await
    }

    /// The nodes whose settings are not the expected ones. Where nothing is expected and nodes disagree, all of them.
    pub(crate) fn drifted(&self, found: &Hashes, expected: Option<&Committed>) -> Vec<NodeIndex> {
        let known = |version: &str| expected.and_then(|committed| committed.hashes.get(version).copied());
        let differs = |(version, hash): &(String, u64)| match known(version) {
            Some(expected) => expected != *hash,
            None => found.iter().any(|(other, theirs)| other == version && theirs != hash),
        };
        let nodes = self.nodes.iter().zip(found);
        nodes.filter(|(_, found)| differs(found)).map(|(node, _)| *node).collect()
    }

    /// Whether any of the nodes still works on the index's settings. Writes of documents do not change them, and may
    /// never pause.
    pub(crate) async fn are_changing(&self) -> Result<bool, RepairError> {
        let checks =
            self.nodes.iter().map(|node| async move { self.replica(*node).changes_settings().await });
        Ok(try_join_all(checks).await?.contains(&true))
    }

    /// Sends a node all settings of the index and waits until it has them.
    pub(crate) async fn send_whole(&self, node: NodeIndex) -> Result<(), RepairError> {
        let replica = self.replica(node);
        let had = replica.read(&self.target(), limits::REPAIR_HELD_REQUEST_TIMEOUT).await?;
        let record = &self.index.record;
        let version = self.core.shared.nodes.health.lowest_version();
        let ahead = self.index.settings_ahead();
        let derivation = Derivation::new(&ahead, record.primary_key.as_deref(), version);
        let embedders = had["embedders"].as_object().map(|names| names.keys().map(String::as_str));
        let embedders = embedders.into_iter().flatten().collect::<Vec<_>>();
        for body in whole_for_nodes(&derivation, &embedders) {
            let task = replica.change(Method::PATCH, "/settings", body.to_string()).await?;
            foreign_tasks::note(&replica, task).await?;
            replica.wait_for(task).await?;
        }
        Ok(())
    }

    pub(crate) fn replica(&self, node: NodeIndex) -> Replica<'_> {
        let record = &self.index.record;
        Replica {
            core: self.core,
            node,
            node_uid: &record.node_uid,
            primary_key: record.primary_key.as_deref().unwrap_or_default(),
            shards: record.shards,
            pace: Pace::Full,
            compares_marks: true,
        }
    }

    fn target(&self) -> String {
        format!("/indexes/{}/settings", self.index.record.node_uid)
    }

    /// Reads the last committed settings.
    pub(crate) async fn committed(&self) -> Result<Option<Committed>, RepairError> {
        let record = self.core.shared.store.record(SETTINGS, &self.index.record.node_uid).await?;
        Ok(record.and_then(|record| serde_json::from_value(record.value).ok()))
    }

    /// The change that makes committed settings durable.
    pub(crate) async fn commit(&self, committed: &Committed) -> Result<Change, RepairError> {
        let key = &self.index.record.node_uid;
        let known = self.core.shared.store.record(SETTINGS, key).await?;
        Ok(Change::PutRecord {
            table: SETTINGS,
            key: key.clone(),
            value: serde_json::to_value(committed).unwrap_or_default(),
            expected_revision: known.map(|record| record.revision),
        })
    }
}

/// A hash of settings; the order of members of sets does not count.
fn hash(mut settings: Value) -> u64 {
    const SETS: &[&str] = &[
        "filterableAttributes",
        "sortableAttributes",
        "stopWords",
        "nonSeparatorTokens",
        "separatorTokens",
        "dictionary",
    ];
    let sort = |value: &mut Value| {
        if let Value::Array(members) = value {
            members.sort_by_cached_key(Value::to_string);
        }
    };
    for name in SETS {
        settings.get_mut(name).map(sort);
    }
    if let Some(typos) = settings.get_mut("typoTolerance") {
        for name in ["disableOnWords", "disableOnAttributes"] {
            typos.get_mut(name).map(sort);
        }
    }
    digest::hash_of(&settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sets_have_no_order_and_lists_have() {
        let of = |value: Value| hash(value);
        assert_eq!(of(json!({"stopWords": ["a", "b"]})), of(json!({"stopWords": ["b", "a"]})));
        assert_ne!(of(json!({"rankingRules": ["a", "b"]})), of(json!({"rankingRules": ["b", "a"]})));
        let typos = |words: [&str; 2]| json!({"typoTolerance": {"disableOnWords": words, "enabled": true}});
        assert_eq!(of(typos(["a", "b"])), of(typos(["b", "a"])));
        assert_ne!(of(json!({"searchCutoffMs": 1})), of(json!({"searchCutoffMs": 2})));
    }
}
