//! Changes of an index's record, and of the topology, that an operation makes.
//!
//! Invariants: a record is changed by compare-and-swap under the term of the pod that leads, and shown once it is
//! durable; a change that meets another one is made again on top of that.

use std::sync::Arc;

use store::{Change, IndexRecord, StoreError};

use crate::{
    membership::rebalance::{
        pods::wait_for_reads,
        work::{Trouble, Work},
    },
    state::{
        placed, refresh,
        snapshot::{Index, publish},
    },
};

/// Changes the record of an index, together with something else. The caller has locked the index's lane.
pub(super) async fn change(
    work: &Work<'_>,
    uid: &str,
    with_it: &[Change],
    act: impl Fn(&mut IndexRecord),
) -> Result<(), Trouble> {
    let shared = &work.core.shared;
    loop {
        let Some(index) = shared.snapshot().indexes.get(uid).cloned() else {
            return Err(Trouble::new(format!("index `{uid}` is gone")));
        };
        let mut record = index.record.clone();
        act(&mut record);
        let expected_revision = Some(index.record.revision);
        let put = Change::PutIndex { record: Box::new(record.clone()), expected_revision };
        let changes = [put].into_iter().chain(with_it.iter().cloned()).collect();
        match shared.commit_by(&work.term, changes).await {
            Ok(revisions) => {
                record.revision = revisions[0];
                show(work, record, &index);
                return Ok(());
            }
            Err(StoreError::Conflict) => {
                refresh::index(shared, uid).await?;
                let now = shared.snapshot().indexes.get(uid).map(|now| now.record.revision);
                if now == expected_revision {
                    return Err(StoreError::Conflict.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn show(work: &Work<'_>, record: IndexRecord, before: &Index) {
    let shared = &work.core.shared;
    let placement = shared.snapshot().topology.placement(record.shards).cloned();
    let placement = placement.unwrap_or_else(|| Arc::clone(&before.placement));
    let index = Arc::new(Index::new(record, placement));
    publish(&shared.snapshot, |snapshot| snapshot.with_changed(Arc::clone(&index)));
}

/// Makes sure that the topology says where indexes of so many shards are.
pub(super) async fn place(work: &Work<'_>, shards: u32) -> Result<(), Trouble> {
    let shared = &work.core.shared;
    placed::refresh(shared).await?;
    if shared.snapshot().topology.placement(shards).is_some() {
        return Ok(());
    }
    next_topology(work, shards).await.map(drop)
}

/// Makes the next version of the topology, which places indexes of so many shards; answers its number.
async fn next_topology(work: &Work<'_>, shards: u32) -> Result<u64, Trouble> {
    let shared = &work.core.shared;
    let current = Arc::clone(&shared.snapshot().topology);
    let next = current.with_placement_for(shards);
    let (before, version) = (current.version, next.version);
    drop(current);
    let value = serde_json::to_value(&next).map_err(Trouble::new)?;
    shared.store.put_topology(Some(before), version, value).await?;
    placed::adopt(shared, next).await?;
    Ok(version)
}

/// Waits until nobody reads by a record older than the one that is shown now.
///
/// A version of the topology is announced by a pod that has read all records since; whoever has taken a snapshot before
/// goes by an older version, and is gone when the next one is announced.
pub(super) async fn wait_for_readers(work: &Work<'_>, shards: u32) -> Result<(), Trouble> {
    for _ in 0..2 {
        placed::refresh(&work.core.shared).await?;
        let version = next_topology(work, shards).await?;
        wait_for_reads(work, version).await?;
    }
    Ok(())
}
