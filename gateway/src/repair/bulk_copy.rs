//! Filling an empty copy of a shard: pages of whole documents from one node to another, before the two are compared.
//!
//! Invariants: no lane is held, so what is copied may be old by the time it arrives; the comparison that follows finds
//! that, for the copy that is filled is not believed; a page is bounded in bytes, and one waits at most.

use http::Method;
use serde_json::json;

use crate::{
    config::limits,
    repair::{
        comparison::Comparison,
        digest::{Fingerprint, VECTORS_FIELD},
        foreign_tasks,
        replica::{Page, Replica},
        report::RepairError,
    },
};

impl Comparison<'_> {
    /// Fills the target's copy of a shard where it is empty; says whether it did.
    pub(crate) async fn copy_to_the_empty(
        &self,
        replicas: &[Replica<'_>],
        prints: &[Fingerprint],
        filter: &str,
    ) -> Result<bool, RepairError> {
        if !self.scope.mark_suspect || self.scope.dry_run {
            return Ok(false);
        }
        let is_target = |replica: &Replica<'_>| self.scope.target == Some(replica.node);
        let target = replicas.iter().zip(prints).find(|(replica, _)| is_target(replica));
        let Some((target, _)) = target.filter(|(_, print)| print.documents() == 0) else { return Ok(false) };
        let sources = replicas.iter().zip(prints).filter(|(replica, _)| !is_target(replica));
        let fullest = sources.max_by_key(|(_, print)| print.documents());
        match fullest {
            Some((source, print)) if print.documents() >= limits::BULK_COPY_DOCUMENTS_MIN => {
                let copied = self.copy(source, target, filter).await?;
                self.report.borrow_mut().copied += copied;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Answers how many documents there were.
    async fn copy(
        &self,
        source: &Replica<'_>,
        target: &Replica<'_>,
        filter: &str,
    ) -> Result<u64, RepairError> {
        let (mut offset, mut limit) = (0, limits::REPAIR_PAGE_FIRST);
        let mut waits: Option<u32> = None;
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
                self.report.borrow_mut().bytes += body.len() as u64;
                let task = target.change(Method::POST, "/documents", body).await?;
                foreign_tasks::note(target, task).await?;
                if let Some(before) = waits.replace(task) {
                    target.wait_for(before).await?;
                }
            }
            offset += count;
            if count == 0 || offset >= page.total {
                break;
            }
            let weight = answer.len() / count + 1;
            limit = (limits::REPAIR_PAGE_BYTES / weight).clamp(1, limits::REPAIR_PAGE_DOCUMENTS_MAX);
        }
        if let Some(last) = waits {
            target.wait_for(last).await?;
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
