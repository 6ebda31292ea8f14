//! Filling a copy that is empty, or that an earlier attempt has filled in part: pages of whole documents from one node
//! to another, before the two are compared.
//!
//! Invariants: no lane is held, so what is copied may be old by the time it arrives; the comparison that follows finds
//! that, for the copy that is filled is not believed; a page is bounded in bytes, and a bounded number of them waits at
//! the node, which then does several in one go.

use std::collections::VecDeque;

use http::Method;
use serde_json::json;

use crate::{
    config::limits,
    repair::{
        comparison::Comparison,
        digest::VECTORS_FIELD,
        foreign_tasks,
        replica::{Page, Replica},
        report::RepairError,
    },
};

impl Comparison<'_> {
    /// Fills the target's copy of some shards where it has less than half of what another one has; only an empty one
    /// where none is to be trusted more than it.
    pub(crate) async fn copy_to_the_empty(
        &self,
        replicas: &[Replica<'_>],
        filter: &str,
    ) -> Result<(), RepairError> {
        if !self.scope.mark_suspect || self.scope.dry_run {
            return Ok(());
        }
        let nodes = replicas.iter().map(|replica| replica.node).collect::<Vec<_>>();
        let counts = self.of_each(replicas, |replica| replica.count(filter)).await?;
        let is_target = |replica: &Replica<'_>| self.scope.target == Some(replica.node);
        let counted = || replicas.iter().zip(counts.iter().copied());
        let target = counted().find(|(replica, _)| is_target(replica));
        let fullest = counted().filter(|(replica, _)| !is_target(replica)).max_by_key(|(_, count)| *count);
        if let (Some((target, has)), Some((source, count))) = (target, fullest)
            && has < count.div_ceil(2)
            && (has == 0 || !self.are_without_source(&nodes))
        {
            let copied = self.copy(source, target, filter).await?;
            self.report.borrow_mut().copied += copied;
        }
        Ok(())
    }

    /// Answers how many documents there were.
    async fn copy(
        &self,
        source: &Replica<'_>,
        target: &Replica<'_>,
        filter: &str,
    ) -> Result<u64, RepairError> {
        let (mut offset, mut limit) = (0, limits::REPAIR_PAGE_FIRST);
        let mut waiting = VecDeque::new();
        loop {
            let asked = json!({"filter": filter, "offset": offset, "limit": limit, "retrieveVectors": true});
            let answer = source.fetch(&asked, source.core.shared.config.node_timeout).await?;
            // Where shards have moved meanwhile, it may be no copy any more.
            self.check_index()?;
            let page: Page<'_> = serde_json::from_slice(&answer).map_err(|error| source.failed(error))?;
            let count = page.results.len();
            if count > 0 {
                let mut body = String::with_capacity(answer.len());
                for raw in &page.results {
                    body.push(if body.is_empty() { '[' } else { ',' });
                    push_document(&mut body, raw.get());
                }
                body.push(']');
                let bytes = body.len() as u64;
                self.report.borrow_mut().bytes += bytes;
                let task = target.change(Method::POST, "/documents", body).await?;
                foreign_tasks::note(target, task).await?;
                waiting.push_back(task);
                if waiting.len() > limits::COPIED_PAGES_WAITING_MAX
                    && let Some(first) = waiting.pop_front()
                {
                    target.wait_for(first).await?;
                }
                self.watch.copied(count as u64, bytes).await;
                self.check_wish()?;
            }
            offset += count;
            if count == 0 || offset >= page.total {
                break;
            }
            let weight = answer.len() / count + 1;
            limit = (limits::REPAIR_PAGE_BYTES / weight).clamp(1, limits::REPAIR_PAGE_DOCUMENTS_MAX);
        }
        for task in waiting {
            target.wait_for(task).await?;
        }
        Ok(offset as u64)
    }
}

/// A document as nodes are given it: no vectors are not said.
fn push_document(body: &mut String, raw: &str) {
    let empty = format!(",\"{VECTORS_FIELD}\":{{}}}}");
    match raw.strip_suffix(&empty) {
        Some(rest) => {
            body.push_str(rest);
            body.push('}');
        }
        None => body.push_str(raw),
    }
}
