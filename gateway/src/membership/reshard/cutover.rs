//! The twin serves, and what served becomes the twin: one commit of the index's record.
//!
//! Invariants: the index's lane is locked and its nodes are at rest, so that the twin has all that was acknowledged; its
//! settings are those of the copies that serve. A request that was planned before is answered by the old copies, which
//! go on to get every write.

use std::{mem, sync::Arc};

use router::NodeIndex;
use store::Twin;

use crate::{
    clock,
    config::limits,
    membership::{
        rebalance::work::{Trouble, Work},
        reshard::{copies, registry, verify},
    },
    observe::log,
    repair::node_settings,
    state::{core::Core, snapshot::Index},
    write::{lane, rule_copies},
};

/// Has the twin serve unless it does.
pub(super) async fn activate(work: &Work<'_>, index: &Arc<Index>) -> Result<(), Trouble> {
    let core = work.core;
    if index.record.node_uid == work.operation.copies.twin {
        // The run that did it may have died before it came to this.
        rule_copies::follow(core, &[&index.record.uid]).await;
        return Ok(());
    }
    let twin = copies::twin(work, index)?;
    verify::catch_up(core, [index, &twin]).await?;
    let hold = lane::lock(core, vec![&index.record.uid]).await;
    let hold = hold.map_err(|_| copies::busy(index))?;
    let index = copies::index(work).ok_or_else(|| Trouble::new("the index is gone"))?;
    let twin = copies::twin(work, &index)?;
    copies::check_nodes(core)?;
    copies::check_settings(&index)?;
    verify::wait_until_idle(core, [&index, &twin], limits::REPAIR_HELD_WAIT_MAX).await?;
    equal_settings(core, &index, &twin).await?;
    copies::check_nodes(core)?;
    let kept_until = Some(clock::utc() + core.shared.config.reshard_keep);
    registry::change(work, &index.record.uid, &[], |record| {
        let Some(twin) = record.twin.take() else { return };
        let node_uid = mem::replace(&mut record.node_uid, twin.node_uid);
        let shards = mem::replace(&mut record.shards, twin.shards);
        record.twin = Some(Twin { node_uid, shards, kept_until });
    })
    .await?;
    drop(hold);
    let (from, to) = (index.record.shards.to_string(), twin.record.shards.to_string());
    log::info("cutover", &[("index", &index.record.uid), ("shards_before", &from), ("shards", &to)]);
    rule_copies::follow(core, &[&index.record.uid]).await;
    Ok(())
}

/// Sends the settings again to nodes on which the twin has others.
async fn equal_settings(core: &Core, index: &Arc<Index>, twin: &Arc<Index>) -> Result<(), Trouble> {
    let nodes: Vec<NodeIndex> = core.shared.snapshot().topology.every_node();
    let serving = node_settings::Copies::new(core, Arc::clone(index), nodes.clone()).read().await?;
    let further = node_settings::Copies::new(core, Arc::clone(twin), nodes.clone());
    let found = further.read().await?;
    for ((node, own), has) in nodes.iter().zip(&serving).zip(&found) {
        if own != has {
            further.send_whole(*node).await?;
        }
    }
    if further.read().await? != serving {
        return Err(Trouble::new("the further copies have other settings than those that serve"));
    }
    Ok(())
}
