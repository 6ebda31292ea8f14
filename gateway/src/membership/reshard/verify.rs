//! Comparing the twin with the copies that serve, across different numbers of shards, and making it equal.
//!
//! Invariants: fingerprints go by key and content alone, whatever the shard. A difference is looked at again while the
//! index's lane is locked and its nodes are at rest, and what serves is right. Copies count as equal when a whole look
//! has found nothing to repair: both get every write, so that what is equal stays so.

use std::{collections::BTreeMap, sync::Arc};

use ahash::{AHashMap, AHashSet};
use futures_util::future::try_join_all;
use http::Method;
use router::{NodeIndex, ShardSet, shard_filter};
use serde_json::json;

use crate::{
    config::limits,
    membership::{
        rebalance::{
            operation::Event,
            work::{Trouble, Work},
        },
        reshard::{copies, restamp::restamp},
    },
    repair::{
        compare::{compare_copies, differing_buckets},
        digest::{BUCKETS, Fingerprint},
        foreign_tasks,
        report::{Pace, Scope},
        resolve::Version,
    },
    state::{core::Core, snapshot::Index},
    write::lane,
};

/// The documents of some keys, by node and key.
type Found = AHashMap<NodeIndex, AHashMap<String, Version>>;

/// Makes the twin equal to what serves.
pub(super) async fn run(work: &Work<'_>, index: &Arc<Index>, is_delta: bool) -> Result<(), Trouble> {
    if index.record.primary_key.is_none() {
        return Ok(());
    }
    for _ in 0..limits::VERIFY_LOOKS_MAX {
        work.check_wish().await?;
        copies::check_nodes(work.core)?;
        let twin = copies::twin(work, index)?;
        level_copies(work, &twin).await?;
        let repaired = look(work, index, &twin).await?;
        if repaired == 0 {
            return Ok(());
        }
        metrics::counter!("miroir_reshard_documents_repaired_total").increment(repaired);
        work.tell(Event::Copied { documents: repaired, bytes: 0, is_delta }).await?;
    }
    Err(Trouble::new("the further copies are not equal yet to those that serve"))
}

/// Makes the twin's copies of each shard equal among themselves, where there are several.
async fn level_copies(work: &Work<'_>, twin: &Index) -> Result<(), Trouble> {
    if copies::owners(work.core, twin, 0).len() < 2 {
        return Ok(());
    }
    let scope = Scope { target: None, mark_suspect: false, pace: Pace::Full, dry_run: false };
    for shard in 0..twin.record.shards {
        work.check_wish().await?;
        let one = [shard].into_iter().collect::<ShardSet>();
        let report = compare_copies(work.core, &twin.record.node_uid, &one, scope).await?;
        if !report.is_equal() || report.missing > 0 {
            return Err(Trouble::new(format!("copies of shard {shard} cannot be compared yet")));
        }
    }
    Ok(())
}

/// Compares everything once; answers how many documents were repaired.
async fn look(work: &Work<'_>, index: &Arc<Index>, twin: &Arc<Index>) -> Result<u64, Trouble> {
    let core = work.core;
    let prints = [fingerprint(core, index).await?, fingerprint(core, twin).await?];
    let mut repaired = 0;
    for wanted in differing_buckets(&prints) {
        let (serving, further) =
            (contents(core, index, &wanted).await?, contents(core, twin, &wanted).await?);
        let mut keys = AHashSet::new();
        for (one, other) in [(&serving, &further), (&further, &serving)] {
            let differs = |(key, content): &(&String, &u64)| other.get(*key) != Some(*content);
            keys.extend(one.iter().filter(differs).map(|(key, _)| key.clone()));
        }
        let mut keys = keys.into_iter().collect::<Vec<_>>();
        keys.sort_unstable();
        for keys in keys.chunks(limits::REPAIR_KEYS_PER_HOLD) {
            work.check_wish().await?;
            repaired += repair(work, keys).await?;
        }
    }
    Ok(repaired)
}

async fn fingerprint(core: &Core, index: &Index) -> Result<Fingerprint, Trouble> {
    let readers = copies::readers(core, index)?;
    let prints = readers.iter().map(|(node, shards)| async move {
        copies::replica(core, index, *node).fingerprint(&shard_filter(shards)).await
    });
    let mut all = Fingerprint::empty();
    try_join_all(prints).await?.iter().for_each(|print| all.join(print));
    Ok(all)
}

/// Key and content of the documents in some buckets.
async fn contents(
    core: &Core,
    index: &Index,
    wanted: &[bool; BUCKETS],
) -> Result<AHashMap<String, u64>, Trouble> {
    let readers = copies::readers(core, index)?;
    let parts = readers.iter().map(|(node, shards)| async move {
        copies::replica(core, index, *node).contents(&shard_filter(shards), wanted).await
    });
    Ok(try_join_all(parts).await?.into_iter().flatten().collect())
}

/// Makes the twin's copies of some documents what those that serve are; answers how many were not.
async fn repair(work: &Work<'_>, keys: &[String]) -> Result<u64, Trouble> {
    let core = work.core;
    let mut attempts = 0;
    let (twin, tasks, count) = loop {
        let (index, twin) = both(work)?;
        // The first wait does not lock the lane, since a node's work may take long.
        catch_up(core, [&index, &twin]).await?;
        let hold = lane::lock(core, vec![&index.record.uid]).await;
        let _hold = hold.map_err(|_| copies::busy(&index))?;
        let (index, twin) = both(work)?;
        copies::check_nodes(core)?;
        match wait_until_idle(core, [&index, &twin], limits::REPAIR_HELD_WAIT_MAX).await {
            Ok(()) => {
                let serving = documents(core, &index, keys, false).await?;
                let further = documents(core, &twin, keys, true).await?;
                let (tasks, count) = make_equal(core, (&index, &twin), keys, (&serving, &further)).await?;
                break (twin, tasks, count);
            }
            Err(error) if attempts == limits::REPAIR_HOLD_ATTEMPTS => return Err(error),
            Err(_) => attempts += 1,
        }
    };
    let ended = tasks.into_iter().map(|(node, task)| {
        let twin = &twin;
        async move {
            let replica = copies::replica(core, twin, node);
            foreign_tasks::note(&replica, task).await?;
            replica.wait_for(task).await
        }
    });
    try_join_all(ended).await?;
    Ok(count)
}

/// Both sets of copies as they are now.
fn both(work: &Work<'_>) -> Result<(Arc<Index>, Arc<Index>), Trouble> {
    let index = copies::index(work).ok_or_else(|| Trouble::new("the index is gone"))?;
    let twin = copies::twin(work, &index)?;
    Ok((index, twin))
}

/// Waits until nodes have done what they have been given by now for both sets of copies.
pub(super) async fn catch_up(core: &Core, sets: [&Arc<Index>; 2]) -> Result<(), Trouble> {
    let nodes = core.shared.snapshot().topology.every_node();
    let waits = sets.into_iter().flat_map(|index| {
        nodes.iter().map(move |node| async move { copies::replica(core, index, *node).catch_up().await })
    });
    try_join_all(waits).await?;
    Ok(())
}

/// Waits until no node works on either set of copies.
pub(super) async fn wait_until_idle(
    core: &Core,
    sets: [&Arc<Index>; 2],
    time_max: std::time::Duration,
) -> Result<(), Trouble> {
    let nodes = core.shared.snapshot().topology.every_node();
    let waits = sets.into_iter().flat_map(|index| {
        nodes.iter().map(move |node| async move {
            copies::replica(core, index, *node).wait_until_idle(time_max).await
        })
    });
    try_join_all(waits).await?;
    Ok(())
}

/// The documents of some keys on one owner each, or on all.
async fn documents(core: &Core, index: &Index, keys: &[String], on_all: bool) -> Result<Found, Trouble> {
    let mut wanted: BTreeMap<NodeIndex, Vec<String>> = BTreeMap::new();
    for key in keys {
        let owners = copies::owners(core, index, router::shard_of(key, index.record.shards));
        let count = if on_all { owners.len() } else { 1 };
        for node in owners.into_iter().take(count) {
            wanted.entry(node).or_default().push(key.clone());
        }
    }
    let asked = wanted.iter().map(|(node, keys)| async move {
        let found = copies::replica(core, index, *node).documents(keys).await?;
        Ok::<_, Trouble>((*node, found))
    });
    Ok(try_join_all(asked).await?.into_iter().collect())
}

/// Sends the twin's nodes what they lack; answers their tasks, and how many documents differed.
async fn make_equal(
    core: &Core,
    (index, twin): (&Index, &Index),
    keys: &[String],
    (serving, further): (&Found, &Found),
) -> Result<(Vec<(NodeIndex, u32)>, u64), Trouble> {
    let primary_key = index.record.primary_key.as_deref().unwrap_or_default();
    let mut bodies: BTreeMap<NodeIndex, Vec<String>> = BTreeMap::new();
    let mut deletions: BTreeMap<NodeIndex, Vec<&str>> = BTreeMap::new();
    let mut count = 0;
    for key in keys {
        let own = serving.values().find_map(|of_node| of_node.get(key));
        let restamped = match own {
            Some(version) => restamp(&version.raw, primary_key, twin.record.shards).map_err(Trouble::new)?,
            None => None,
        };
        let mut differs = false;
        for node in copies::owners(core, twin, router::shard_of(key, twin.record.shards)) {
            let has = further.get(&node).and_then(|of_node| of_node.get(key));
            match (own, &restamped, has) {
                (Some(own), Some(_), Some(has)) if own.content == has.content && has.in_place => continue,
                (Some(_), Some(document), _) => bodies.entry(node).or_default().push(document.raw.clone()),
                (_, _, Some(_)) => deletions.entry(node).or_default().push(key),
                (_, _, None) => continue,
            }
            differs = true;
        }
        count += u64::from(differs);
    }
    let mut tasks = Vec::new();
    for (node, keys) in deletions {
        let replica = copies::replica(core, twin, node);
        let body = json!(keys).to_string();
        tasks.push((node, replica.change(Method::POST, "/documents/delete-batch", body).await?));
    }
    for (node, documents) in bodies {
        let replica = copies::replica(core, twin, node);
        for body in in_portions(documents) {
            tasks.push((node, replica.change(Method::POST, "/documents", body).await?));
        }
    }
    Ok((tasks, count))
}

/// Documents as bodies of a bounded size.
fn in_portions(documents: Vec<String>) -> Vec<String> {
    let mut bodies: Vec<String> = Vec::new();
    for document in documents {
        match bodies.last_mut() {
            Some(body) if body.len() + document.len() < limits::REPAIR_BODY_BYTES => {
                body.push(',');
                body.push_str(&document);
            }
            _ => bodies.push(format!("[{document}")),
        }
    }
    bodies.iter_mut().for_each(|body| body.push(']'));
    bodies
}
