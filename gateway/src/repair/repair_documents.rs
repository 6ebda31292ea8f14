//! Making the copies of some documents equal, with the index's lane held.
//!
//! Invariants: while the lane is held no write of a client comes between reading the copies and giving
//! nodes the winner, and before it is read a node has done all it was given; a lane is held for a bounded
//! number of keys and a bounded time; a winner is written whole, with its stamp and its vectors.

use ahash::AHashMap;
use futures_util::future::try_join_all;
use http::Method;
use router::NodeIndex;
use serde_json::{Map, Value, json};

use crate::{
    config::limits,
    repair::{
        comparison::Verification,
        digest::VECTORS_FIELD,
        foreign_tasks,
        replica::Replica,
        report::RepairError,
        resolve::{Case, Verdict, Version, decide},
    },
    write::lane,
};

/// What one copy is to be given.
#[derive(Default)]
struct Orders {
    documents: Vec<String>,
    deletions: Vec<String>,
}

impl Verification<'_> {
    /// Makes the copies of these documents equal on these nodes.
    pub(crate) async fn mend(&self, nodes: &[NodeIndex], keys: &[String]) -> Result<(), RepairError> {
        let replicas = nodes.iter().map(|node| self.replica(*node)).collect::<Vec<_>>();
        let mut attempts = 0;
        let given = loop {
            // Without the lane, for what a node is at work on may take long.
            try_join_all(replicas.iter().map(|replica| replica.wait_until_idle(limits::REPAIR_TASK_TIMEOUT)))
                .await?;
            let hold = lane::lock(self.core, vec![&self.index.record.uid]).await;
            let _hold = hold.map_err(|_| RepairError::Busy)?;
            self.check_index()?;
            if !nodes.iter().all(|node| self.is_copy(*node)) {
                return Err(RepairError::Busy);
            }
            let idle = replicas.iter().map(|replica| replica.wait_until_idle(limits::REPAIR_HELD_WAIT_MAX));
            match try_join_all(idle).await {
                Ok(_) => break self.settle(&replicas, keys).await?,
                Err(error) if attempts == limits::REPAIR_HOLD_ATTEMPTS => return Err(error),
                Err(_) => attempts += 1,
            }
        };
        let ended = given.into_iter().map(|(copy, task)| {
            let replica = &replicas[copy];
            async move {
                foreign_tasks::note(replica, task).await?;
                replica.wait_for(task).await
            }
        });
        try_join_all(ended).await.map(drop)
    }

    /// Reads, judges and gives orders; answers the nodes' tasks by copy.
    async fn settle(
        &self,
        replicas: &[Replica<'_>],
        keys: &[String],
    ) -> Result<Vec<(usize, u32)>, RepairError> {
        let copies = try_join_all(replicas.iter().map(|replica| replica.documents(keys))).await?;
        let erased = self.erased_by_filter(replicas, &copies, keys).await?;
        let trusted = replicas.iter().map(|replica| self.trusts(replica.node)).collect::<Vec<_>>();
        let mut foreign = None;
        let mut orders = replicas.iter().map(|_| Orders::default()).collect::<Vec<_>>();
        for key in keys {
            let versions = copies.iter().map(|copy| copy.get(key).cloned()).collect::<Vec<_>>();
            let deleted_at = self.tombstones.deleted_at(key).max(erased.get(key).copied());
            let quorum = |foreign: Option<&[bool]>| {
                decide(Case { versions: &versions, trusted: &trusted, foreign, deleted_at })
            };
            let mut verdict = quorum(foreign.as_deref());
            if verdict == Verdict::LookForForeign {
                foreign = Some(self.foreign(replicas).await?);
                verdict = quorum(foreign.as_deref());
            }
            self.order(verdict, key, &versions, &mut orders);
        }
        if self.scope.dry_run { Ok(Vec::new()) } else { give(replicas, orders).await }
    }

    fn order(&self, verdict: Verdict, key: &str, versions: &[Option<Version>], orders: &mut [Orders]) {
        let mut report = self.report.borrow_mut();
        match verdict {
            Verdict::Same => return,
            Verdict::Unknown | Verdict::LookForForeign => {
                report.differing += 1;
                report.undecided += 1;
                return;
            }
            Verdict::Delete => {
                let holders = orders.iter_mut().zip(versions).filter(|(_, version)| version.is_some());
                holders.for_each(|(order, _)| order.deletions.push(key.to_owned()));
                report.deleted += 1;
            }
            Verdict::Keep(winner) => {
                let Some(kept) = &versions[winner] else { return };
                let differs = |version: &Option<Version>| {
                    version.as_ref().is_none_or(|other| other.content != kept.content || !other.in_place)
                };
                let losers = orders.iter_mut().zip(versions).filter(|(_, version)| differs(version));
                let document = self.document(key, kept);
                losers.for_each(|(order, _)| order.documents.push(document.clone()));
                report.rewritten += 1;
            }
        }
        report.differing += 1;
    }

    /// A winner as nodes are given it: no vectors are not said, and its shard is marked.
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

    /// Which of the documents that some copies lack were deleted by a filter: their holders are asked.
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
            for replica in replicas {
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

/// Sends every copy its orders, in bodies of a bounded size.
async fn give(replicas: &[Replica<'_>], orders: Vec<Orders>) -> Result<Vec<(usize, u32)>, RepairError> {
    let given = replicas.iter().zip(orders).enumerate().map(|(copy, (replica, orders))| async move {
        let mut tasks = Vec::new();
        if !orders.deletions.is_empty() {
            let body = json!(orders.deletions).to_string();
            tasks.push((copy, replica.change(Method::POST, "/documents/delete-batch", body).await?));
        }
        let mut rest = orders.documents.into_iter().peekable();
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
    Ok(try_join_all(given).await?.into_iter().flatten().collect())
}
