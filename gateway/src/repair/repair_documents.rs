//! Makes the copies of some documents equal.
//!
//! Most differences are none: a write was on its way. What still differs when nodes have done what they were given is
//! repaired with the lane locked; a copy that nobody believes yet is first given it without.
//!
//! Invariants: while the lane is locked, no write of a client comes between reading the copies and sending nodes the
//! winner, and a node has done all its tasks before it is read. A lane is locked for a bounded number of keys and a
//! bounded time. A winner is written whole, with its stamp and its vectors.

use ahash::AHashMap;
use futures_util::future::try_join_all;
use http::Method;
use router::NodeIndex;
use serde_json::{Map, Value, json};

use crate::{
    config::limits,
    repair::{
        comparison::Comparison,
        digest::VECTORS_FIELD,
        foreign_tasks,
        replica::Replica,
        report::RepairError,
        resolve::{Case, Verdict, Version, are_equal, resolve},
    },
    write::lane,
};

/// The changes that one copy needs.
#[derive(Default)]
struct NodeChanges {
    documents: Vec<String>,
    deletions: Vec<String>,
}

impl Comparison<'_> {
    /// Makes the copies of these documents equal on these nodes.
    pub(crate) async fn repair(&self, nodes: &[NodeIndex], keys: &[String]) -> Result<(), RepairError> {
        let replicas = nodes.iter().map(|node| self.replica(*node)).collect::<Vec<_>>();
        // What differed may only have been on its way. No lane is locked for that.
        let mut left = self.still_differing(&replicas, keys).await?;
        if let Some(copy) = self.filled_copy(nodes) {
            for _ in 0..limits::REPAIR_UNHELD_ATTEMPTS {
                if left.is_empty() {
                    break;
                }
                self.give(&replicas, copy, &left).await?;
                left = self.still_differing(&replicas, &left).await?;
            }
        }
        if left.is_empty() { Ok(()) } else { self.repair_held(nodes, &replicas, &left).await }
    }

    /// The documents of which copies differ once nodes have done what they were given by now.
    async fn still_differing(
        &self,
        replicas: &[Replica<'_>],
        keys: &[String],
    ) -> Result<Vec<String>, RepairError> {
        try_join_all(replicas.iter().map(Replica::catch_up)).await?;
        let copies = try_join_all(replicas.iter().map(|replica| replica.documents(keys))).await?;
        let is_equal =
            |key: &String| are_equal(&copies.iter().map(|copy| copy.get(key).cloned()).collect::<Vec<_>>());
        Ok(keys.iter().filter(|key| !is_equal(key)).cloned().collect())
    }

    /// The copy that is being filled and that nobody believes yet.
    fn filled_copy(&self, nodes: &[NodeIndex]) -> Option<usize> {
        let target = self.scope.target.filter(|_| self.scope.mark_suspect && !self.scope.dry_run)?;
        nodes.iter().position(|node| *node == target).filter(|_| !self.are_without_source(nodes))
    }

    /// Gives one copy what the others have, with no lane locked: what a client writes meanwhile may be undone there,
    /// and differs again then.
    async fn give(&self, replicas: &[Replica<'_>], copy: usize, keys: &[String]) -> Result<(), RepairError> {
        let mut changes = self.resolve_all(replicas, keys).await?;
        self.check_index()?;
        let own = std::mem::take(&mut changes[copy]);
        let mut changes = replicas.iter().map(|_| NodeChanges::default()).collect::<Vec<_>>();
        changes[copy] = own;
        let tasks = send_changes(replicas, changes).await?;
        self.wait_for(replicas, tasks).await
    }

    /// Makes the copies equal with the lane locked.
    async fn repair_held(
        &self,
        nodes: &[NodeIndex],
        replicas: &[Replica<'_>],
        keys: &[String],
    ) -> Result<(), RepairError> {
        let mut attempts = 0;
        let tasks = loop {
            // The first wait does not lock the lane, since a node's work may take long.
            try_join_all(replicas.iter().map(Replica::catch_up)).await?;
            let guard = lane::lock(self.core, vec![&self.index.record.uid]).await;
            let _guard = guard.map_err(|_| RepairError::Busy)?;
            self.check_index()?;
            if !self.are_without_source(nodes) && !nodes.iter().all(|node| self.is_copy(*node)) {
                return Err(RepairError::Busy);
            }
            let idle = replicas.iter().map(|replica| replica.wait_until_idle(limits::REPAIR_HELD_WAIT_MAX));
            match try_join_all(idle).await {
                Ok(_) => {
                    let changes = self.resolve_all(replicas, keys).await?;
                    break if self.scope.dry_run {
                        Vec::new()
                    } else {
                        send_changes(replicas, changes).await?
                    };
                }
                Err(error) if attempts == limits::REPAIR_HOLD_ATTEMPTS => return Err(error),
                Err(_) => attempts += 1,
            }
        };
        self.wait_for(replicas, tasks).await
    }

    /// Waits until the copies' nodes have done these tasks of ours.
    async fn wait_for(&self, replicas: &[Replica<'_>], tasks: Vec<(usize, u32)>) -> Result<(), RepairError> {
        let ended = tasks.into_iter().map(|(copy, task)| {
            let replica = &replicas[copy];
            async move {
                foreign_tasks::note(replica, task).await?;
                replica.wait_for(task).await
            }
        });
        try_join_all(ended).await.map(drop)
    }

    /// Reads the copies and resolves each document; gives the changes that each copy needs.
    async fn resolve_all(
        &self,
        replicas: &[Replica<'_>],
        keys: &[String],
    ) -> Result<Vec<NodeChanges>, RepairError> {
        let copies = try_join_all(replicas.iter().map(|replica| replica.documents(keys))).await?;
        let erased = self.erased_by_filter(replicas, &copies, keys).await?;
        let trusted = self.trusted(&replicas.iter().map(|replica| replica.node).collect::<Vec<_>>());
        let mut foreign = None;
        let mut changes = replicas.iter().map(|_| NodeChanges::default()).collect::<Vec<_>>();
        for key in keys {
            let versions = copies.iter().map(|copy| copy.get(key).cloned()).collect::<Vec<_>>();
            let deleted_at = self.tombstones.deleted_at(key).max(erased.get(key).copied());
            let verdict_with = |foreign: Option<&[bool]>| {
                resolve(Case { versions: &versions, trusted: &trusted, foreign, deleted_at })
            };
            let mut verdict = verdict_with(foreign.as_deref());
            if verdict == Verdict::LookForForeign {
                foreign = Some(self.foreign(replicas).await?);
                verdict = verdict_with(foreign.as_deref());
            }
            self.add_changes(verdict, key, &versions, &mut changes);
        }
        Ok(changes)
    }

    fn add_changes(
        &self,
        verdict: Verdict,
        key: &str,
        versions: &[Option<Version>],
        changes: &mut [NodeChanges],
    ) {
        let mut report = self.report.borrow_mut();
        match verdict {
            Verdict::Same => return,
            Verdict::Unknown | Verdict::LookForForeign => {
                report.differing += 1;
                report.undecided += 1;
                return;
            }
            Verdict::Delete => {
                let holders = changes.iter_mut().zip(versions).filter(|(_, version)| version.is_some());
                holders.for_each(|(change, _)| change.deletions.push(key.to_owned()));
                report.deleted += 1;
            }
            Verdict::Keep(winner) => {
                let Some(kept) = &versions[winner] else { return };
                let differs = |version: &Option<Version>| {
                    version.as_ref().is_none_or(|other| other.content != kept.content || !other.in_place)
                };
                let losers = changes.iter_mut().zip(versions).filter(|(_, version)| differs(version));
                let document = self.document(key, kept);
                losers.for_each(|(change, _)| {
                    report.bytes += document.len() as u64;
                    change.documents.push(document.clone());
                });
                report.rewritten += 1;
            }
        }
        report.differing += 1;
    }

    /// A winner as it is sent to nodes: without an empty list of vectors, and marked with its shard.
    fn document(&self, key: &str, version: &Version) -> String {
        if version.in_place {
            let empty = format!(",\"{VECTORS_FIELD}\":{{}}}}");
            return match version.raw.strip_suffix(&empty) {
                Some(rest) => format!("{rest}}}"),
                None => version.raw.clone(),
            };
        }
        let mut members = serde_json::from_str::<Map<String, Value>>(&version.raw).unwrap_or_default();
        let shard = router::shard_of(key, self.index.record.shards);
        let marker = String::from_utf8_lossy(&router::reserved::shard_marker(shard)).into_owned();
        members.insert(router::reserved::SHARD_FIELD.to_owned(), Value::String(marker));
        if members.get(VECTORS_FIELD) == Some(&json!({})) {
            members.remove(VECTORS_FIELD);
        }
        Value::Object(members).to_string()
    }

    /// Which of the documents that some copies lack were deleted by a filter; the nodes that hold them are asked.
    async fn erased_by_filter(
        &self,
        replicas: &[Replica<'_>],
        copies: &[AHashMap<String, Version>],
        keys: &[String],
    ) -> Result<AHashMap<String, u64>, RepairError> {
        let mut erased = AHashMap::new();
        for (clock, filter) in &self.tombstones.filters {
            let older = |key: &&String| {
                let stamps = copies.iter().filter_map(|copy| copy.get(*key).map(|version| version.stamp));
                let is_missed = copies.iter().any(|copy| !copy.contains_key(*key));
                is_missed && stamps.max().is_some_and(|newest| newest.is_none_or(|stamp| stamp < *clock))
            };
            let suspects = keys.iter().filter(older).cloned().collect::<Vec<_>>();
            if suspects.is_empty() {
                continue;
            }
            for (replica, own) in replicas.iter().zip(copies) {
                // What holds for an older copy need not hold for the newest one.
                let is_newest = |key: &&String| {
                    let newest =
                        copies.iter().filter_map(|copy| copy.get(*key).map(|version| version.stamp)).max();
                    own.get(*key).is_some_and(|version| Some(version.stamp) == newest)
                };
                let suspects = suspects.iter().filter(is_newest).cloned().collect::<Vec<_>>();
                if suspects.is_empty() {
                    continue;
                }
                for key in replica.matching(&suspects, filter.as_ref()).await? {
                    erased.insert(key, *clock);
                }
            }
        }
        Ok(erased)
    }

    async fn foreign(&self, replicas: &[Replica<'_>]) -> Result<Vec<bool>, RepairError> {
        let mut foreign = Vec::with_capacity(replicas.len());
        for replica in replicas {
            let known = self.foreign.borrow().get(&replica.node).copied();
            let is_foreign = match known {
                Some(known) => known,
                None => foreign_tasks::has_foreign_tasks(replica, &self.index.record.uid).await?,
            };
            self.foreign.borrow_mut().insert(replica.node, is_foreign);
            foreign.push(is_foreign);
        }
        Ok(foreign)
    }
}

/// Sends every copy its changes, in bodies of a bounded size.
async fn send_changes(
    replicas: &[Replica<'_>],
    changes: Vec<NodeChanges>,
) -> Result<Vec<(usize, u32)>, RepairError> {
    let sent = replicas.iter().zip(changes).enumerate().map(|(copy, (replica, changes))| async move {
        let mut tasks = Vec::new();
        if !changes.deletions.is_empty() {
            let body = json!(changes.deletions).to_string();
            tasks.push((copy, replica.change(Method::POST, "/documents/delete-batch", body).await?));
        }
        let mut rest = changes.documents.into_iter().peekable();
        while rest.peek().is_some() {
            let mut body = String::from("[");
            while let Some(document) =
                rest.next_if(|next| body.len() == 1 || body.len() + next.len() < limits::REPAIR_BODY_BYTES)
            {
                if body.len() > 1 {
                    body.push(',');
                }
                body.push_str(&document);
            }
            body.push(']');
            tasks.push((copy, replica.change(Method::POST, "/documents", body).await?));
        }
        Ok::<_, RepairError>(tasks)
    });
    Ok(try_join_all(sent).await?.into_iter().flatten().collect())
}
