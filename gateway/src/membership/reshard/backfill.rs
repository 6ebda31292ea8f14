//! Filling the twin: pages of whole documents from the copies that serve.
//!
//! Invariants: no lane is held, so a page may be older than what the twin has got since; the comparison that follows
//! finds that. A page is bounded in bytes and in documents, a few shards are under way at once, and all of them together
//! keep the pace that was asked for. What has been filled is stored shard by shard.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
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
    repair::{foreign_tasks, replica::Page, watch::Throttle},
    state::snapshot::Index,
    wire::runtime,
};

/// Copies every shard that has not been copied yet; `per_second` is in documents a second, 0 for as many as go.
pub(super) async fn run(work: &Work<'_>, index: &Arc<Index>, per_second: u32) -> Result<(), Trouble> {
    if index.record.primary_key.is_none() {
        return Ok(());
    }
    let filled = &work.operation.copies.filled;
    let left = (0..index.record.shards).filter(|shard| !filled.contains(shard));
    let throttle = Throttle::new(per_second);
    let throttle = &throttle;
    let filling = stream::iter(left).map(|shard| async move { fill(work, index, shard, throttle).await });
    filling.buffer_unordered(limits::BACKFILL_SHARDS_MAX).try_collect::<()>().await
}

async fn fill(work: &Work<'_>, index: &Arc<Index>, shard: u32, throttle: &Throttle) -> Result<(), Trouble> {
    let core = work.core;
    let filter = shard_filter(&[shard].into_iter().collect::<ShardSet>());
    let (mut offset, mut limit) = (0, limits::REPAIR_PAGE_FIRST);
    loop {
        work.check_wish().await?;
        copies::check_nodes(core)?;
        let owners = copies::owners(core, index, shard);
        let source = owners.first().copied().ok_or_else(|| Trouble::new("a shard has no owner"))?;
        let source = copies::replica(core, index, source);
        let asked = json!({"filter": filter, "offset": offset, "limit": limit, "retrieveVectors": true});
        let answer = source.fetch(&asked, core.shared.config.node_timeout).await?;
        let page: Page<'_> = serde_json::from_slice(&answer).map_err(Trouble::new)?;
        let count = page.results.len();
        let bytes = give(work, index, &page).await?;
        if count > 0 {
            metrics::counter!("miroir_reshard_documents_backfilled_total").increment(count as u64);
            work.tell(Event::Copied { documents: count as u64, bytes, is_delta: false }).await?;
            runtime::sleep(throttle.rest(count as u64)).await;
        }
        offset += count;
        if count == 0 || offset >= page.total {
            break;
        }
        let weight = answer.len() / count + 1;
        limit = (limits::REPAIR_PAGE_BYTES / weight).clamp(1, limits::BACKFILL_PAGE_DOCUMENTS_MAX);
    }
    work.tell(Event::Filled { shard }).await
}

/// Gives a page to the nodes that are to have it, and waits until they do; answers its bytes.
async fn give(work: &Work<'_>, index: &Arc<Index>, page: &Page<'_>) -> Result<u64, Trouble> {
    let core = work.core;
    let now = copies::index(work).ok_or_else(|| Trouble::new("the index is gone"))?;
    let twin = copies::twin(work, &now)?;
    let key = index.record.primary_key.as_deref().unwrap_or_default();
    let mut bodies: BTreeMap<NodeIndex, String> = BTreeMap::new();
    for raw in &page.results {
        let restamped = restamp(raw.get(), key, twin.record.shards).map_err(Trouble::new)?;
        let Some(document) = restamped else { continue };
        for node in copies::owners(core, &twin, document.shard) {
            let body = bodies.entry(node).or_default();
            body.push(if body.is_empty() { '[' } else { ',' });
            body.push_str(&document.raw);
        }
    }
    let bytes = bodies.values().map(|body| body.len() as u64).sum();
    let given = bodies.into_iter().map(|(node, body)| {
        let twin = &twin;
        async move {
            let replica = copies::replica(core, twin, node);
            let task = replica.change(Method::POST, "/documents", body + "]").await?;
            foreign_tasks::note(&replica, task).await?;
            replica.wait_for(task).await
        }
    });
    try_join_all(given).await?;
    Ok(bytes)
}
