//! Documents of shards that move: copied to those who are to own them, compared, and deleted where they were.
//!
//! Invariants: a copy that is filled is not believed, and is level only when every shard was compared; nothing is
//! deleted on a node that the index's placement has the node written to at that moment.

use std::{pin::Pin, sync::Arc};

use futures_util::future::try_join_all;
use http::Method;
use router::{NodeIndex, ShardSet, rebalance::Move, shard_filter};
use serde_json::json;

use crate::{
    config::limits,
    membership::rebalance::work::{Moves, Trouble},
    repair::{
        compare, foreign_tasks,
        replica::Replica,
        report::{Pace, RepairError, Report, Scope},
        watch::{Throttle, Watch},
    },
    state::{core::Core, snapshot::Index},
    wire::runtime,
    write::{fanout, lane},
};

impl Moves<'_> {
    /// Makes the targets' copies equal to the owners'.
    pub(super) async fn compare(&self, is_delta: bool) -> Result<(), Trouble> {
        let snapshot = self.core.shared.snapshot();
        let indexes = snapshot.with_twins();
        drop(snapshot);
        let throttle = Throttle::new(self.core.shared.config.migration_throttle);
        for node in self.targets() {
            for index in &indexes {
                self.check_wish().await?;
                self.compare_index(node, index, &throttle, is_delta).await?;
            }
        }
        Ok(())
    }

    async fn compare_index(
        &self,
        node: NodeIndex,
        index: &Index,
        throttle: &Throttle,
        is_delta: bool,
    ) -> Result<(), Trouble> {
        let is_mine = |each: &&Move| each.to == node && each.shards == index.record.shards;
        let wanted = self.plan.moves.iter().filter(is_mine).map(|each| each.shard).collect::<ShardSet>();
        if wanted.is_empty() || index.record.primary_key.is_none() {
            return Ok(());
        }
        let scope = Scope { target: Some(node), mark_suspect: true, pace: Pace::Full, dry_run: false };
        let watch = Watch::new(throttle);
        let compared =
            Box::pin(compare::compare_watched(self.core, &index.record.node_uid, &wanted, scope, &watch));
        let report = match self.looked_at(compared, &watch, is_delta).await? {
            Ok(report) => report,
            Err(RepairError::IndexGone) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.copied(report.rewritten, 0, is_delta).await?;
        if !report.is_equal() || report.shards < u64::from(wanted.len()) {
            let uid = &index.record.uid;
            return Err(Trouble::new(format!("shards of index `{uid}` are not level yet")));
        }
        self.check_wish().await
    }

    /// Has a comparison run, shows what was copied meanwhile, and ends it when an operator wants something else.
    async fn looked_at(
        &self,
        mut compared: Pin<Box<impl Future<Output = Result<Report, RepairError>>>>,
        watch: &Watch<'_>,
        is_delta: bool,
    ) -> Result<Result<Report, RepairError>, Trouble> {
        let mut trouble = None;
        loop {
            let outcome = runtime::timeout(limits::OPERATION_LOOK_INTERVAL, compared.as_mut()).await.ok();
            let (documents, bytes) = watch.take_copied();
            let told = match trouble {
                None => self.copied(documents, bytes, is_delta).await,
                Some(_) => Ok(()),
            };
            let told = if told.is_ok() && trouble.is_none() { self.check_wish().await } else { told };
            if let Err(error) = told {
                watch.end();
                trouble.get_or_insert(error);
            }
            if let Some(outcome) = outcome {
                return trouble.map_or(Ok(outcome), Err);
            }
        }
    }
}

/// Waits until nodes have done all they were given.
pub(super) async fn wait_until_idle(core: &Core, nodes: &[NodeIndex]) -> Result<(), Trouble> {
    let snapshot = core.shared.snapshot();
    for index in snapshot.with_twins() {
        for node in nodes {
            replica(core, &index, *node).wait_until_idle(limits::REPAIR_HELD_WAIT_MAX).await?;
        }
    }
    Ok(())
}

/// Deletes what nodes hold beyond what they own.
pub(super) async fn sweep(work: &Moves<'_>) -> Result<(), Trouble> {
    let snapshot = work.core.shared.snapshot();
    let indexes = snapshot.with_twins();
    drop(snapshot);
    for index in indexes.iter().filter(|index| index.record.primary_key.is_some()) {
        let swept = index.placement.unswept().iter().map(|node| async move {
            if let Some(task) = sweep_index(work.core, index, *node).await? {
                let replica = replica(work.core, index, *node);
                foreign_tasks::note(&replica, task).await?;
                replica.wait_for(task).await?;
            }
            Ok::<_, Trouble>(())
        });
        try_join_all(swept).await?;
    }
    Ok(())
}

async fn sweep_index(core: &Core, index: &Arc<Index>, node: NodeIndex) -> Result<Option<u32>, Trouble> {
    let hold = lane::lock(core, vec![&index.record.uid]).await;
    let _hold = hold.map_err(|_| RepairError::Busy)?;
    let snapshot = core.shared.snapshot();
    let Some(now) = snapshot.on_nodes(&index.record.node_uid) else { return Ok(None) };
    if now.record.uid != index.record.uid || !fanout::is_current(&index.placement, now) {
        return Err(RepairError::Busy.into());
    }
    let replica = replica(core, index, node);
    let kept = index.placement.written_to(node);
    if kept.is_empty() {
        return Ok(Some(replica.change(Method::DELETE, "/documents", "").await?));
    }
    let body = json!({"filter": format!("NOT {}", shard_filter(kept))}).to_string();
    Ok(Some(replica.change(Method::POST, "/documents/delete", body).await?))
}

fn replica<'a>(core: &'a Core, index: &'a Index, node: NodeIndex) -> Replica<'a> {
    Replica {
        core,
        node,
        node_uid: &index.record.node_uid,
        primary_key: index.record.primary_key.as_deref().unwrap_or_default(),
        shards: index.record.shards,
        pace: Pace::Full,
        compares_marks: true,
    }
}
