//! Reads one node's copy of an index: whole shards in pages, single documents by key.
//!
//! Invariants: a page is bounded in documents and, by the weight of the pages before, in bytes. Of a page only what
//! was asked for is kept. With a pace, the node rests after each request in proportion.

use std::time::Duration;

use ahash::{AHashMap, AHashSet};
use bytes::Bytes;
use http::{Method, StatusCode};
use router::NodeIndex;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    config::limits,
    nodes::pool::NodeRequest,
    repair::{
        digest::{BUCKETS, Digest, Fingerprint, bucket_of, digest},
        report::{Pace, RepairError},
        resolve::Version,
    },
    state::core::Core,
    wire::runtime,
};

/// One node's copy of an index.
pub(crate) struct Replica<'a> {
    pub core: &'a Core,
    pub node: NodeIndex,
    pub node_uid: &'a str,
    pub primary_key: &'a str,
    pub shards: u32,
    pub pace: Pace,
    /// Whether documents that differ in nothing but the mark of their shard count as different.
    pub compares_marks: bool,
}

#[derive(Deserialize)]
pub(crate) struct Page<'a> {
    #[serde(borrow)]
    pub(crate) results: Vec<&'a RawValue>,
    pub(crate) total: usize,
}

impl Replica<'_> {
    /// The node's id.
    pub(crate) fn id(&self) -> &str {
        &self.core.shared.nodes.addresses[usize::from(self.node.0)].id
    }

    pub(crate) fn failed(&self, reason: impl ToString) -> RepairError {
        RepairError::Node { node: self.id().to_owned(), reason: reason.to_string() }
    }

    /// The fingerprint of the copy of a shard. While documents move between pages one may be counted twice or not at
    /// all, so a difference is checked again before anything is done.
    pub(crate) async fn fingerprint(&self, filter: &str) -> Result<Fingerprint, RepairError> {
        let mut print = Fingerprint::empty();
        self.pages(filter, |digest| print.add(&digest)).await?;
        Ok(print)
    }

    /// How many documents a filter finds.
    pub(crate) async fn count(&self, filter: &str) -> Result<usize, RepairError> {
        let body = json!({"filter": filter, "limit": 0});
        let answer = self.fetch(&body, self.core.shared.config.node_timeout).await?;
        let page: Page<'_> = serde_json::from_slice(&answer).map_err(|error| self.failed(error))?;
        Ok(page.total)
    }

    /// The documents of a shard in some buckets: key and content hash.
    pub(crate) async fn contents(
        &self,
        filter: &str,
        wanted: &[bool; BUCKETS],
    ) -> Result<AHashMap<String, u64>, RepairError> {
        let mut contents = AHashMap::new();
        let keep = |digest: Digest| {
            if wanted[bucket_of(&digest.key)] {
                contents.insert(digest.key, digest.content);
            }
        };
        self.pages(filter, keep).await?;
        Ok(contents)
    }

    /// The keys that a filter finds, at most `count_max`.
    pub(crate) async fn keys(&self, filter: &str, count_max: usize) -> Result<Vec<String>, RepairError> {
        let mut keys = Vec::new();
        let keep = |digest: Digest| {
            if keys.len() < count_max {
                keys.push(digest.key);
            }
        };
        self.pages(filter, keep).await?;
        Ok(keys)
    }

    async fn pages(&self, filter: &str, mut each: impl FnMut(Digest)) -> Result<(), RepairError> {
        let batch = self.core.shared.config.passes.batch;
        let (mut offset, mut limit) = (0, limits::REPAIR_PAGE_FIRST.min(batch));
        loop {
            let body = json!({"filter": filter, "offset": offset, "limit": limit, "retrieveVectors": true});
            let answer = self.fetch(&body, self.core.shared.config.node_timeout).await?;
            let page: Page<'_> = serde_json::from_slice(&answer).map_err(|error| self.failed(error))?;
            let count = page.results.len();
            for raw in page.results {
                if let Some(digest) = self.digest(raw.get())? {
                    each(digest);
                }
            }
            offset += count;
            if count == 0 || offset >= page.total {
                return Ok(());
            }
            let weight = answer.len() / count + 1;
            limit = (limits::REPAIR_PAGE_BYTES / weight).clamp(1, batch);
        }
    }

    /// The documents with these keys, whatever shard they are marked with.
    pub(crate) async fn documents(&self, keys: &[String]) -> Result<AHashMap<String, Version>, RepairError> {
        let body = json!({"ids": keys, "limit": keys.len(), "retrieveVectors": true});
        let answer = self.fetch(&body, limits::REPAIR_HELD_REQUEST_TIMEOUT).await?;
        let page: Page<'_> = serde_json::from_slice(&answer).map_err(|error| self.failed(error))?;
        let mut documents = AHashMap::with_capacity(page.results.len());
        for raw in page.results {
            if let Some(Digest { key, content, stamp, shard, .. }) = self.digest(raw.get())? {
                let in_place = shard == Some(router::shard_of(&key, self.shards));
                documents.insert(key, Version { content, stamp, in_place, raw: raw.get().to_owned() });
            }
        }
        Ok(documents)
    }

    /// Which of these keys a client's filter finds here.
    pub(crate) async fn matching(
        &self,
        keys: &[String],
        filter: Option<&Value>,
    ) -> Result<AHashSet<String>, RepairError> {
        let Some(filter) = filter else { return Ok(keys.iter().cloned().collect()) };
        let body = json!({"ids": keys, "limit": keys.len(), "filter": filter});
        let answer = self.fetch(&body, limits::REPAIR_HELD_REQUEST_TIMEOUT).await?;
        let page: Page<'_> = serde_json::from_slice(&answer).map_err(|error| self.failed(error))?;
        let mut found = AHashSet::new();
        for raw in page.results {
            found.extend(self.digest(raw.get())?.map(|digest| digest.key));
        }
        Ok(found)
    }

    fn digest(&self, raw: &str) -> Result<Option<Digest>, RepairError> {
        let found = digest(raw, self.primary_key).map_err(|error| self.failed(error))?;
        Ok(found.map(|found| match self.compares_marks {
            true => found,
            false => Digest { content: found.unmarked, ..found },
        }))
    }

    /// Whether the node still works on this index, whoever gave it the work.
    pub(crate) async fn is_at_work(&self) -> Result<bool, RepairError> {
        self.newest_unfinished("").await.map(|task| task.is_some())
    }

    /// Whether the node still works on the settings of this index, whoever gave it the work.
    pub(crate) async fn changes_settings(&self) -> Result<bool, RepairError> {
        let of_settings = "&types=settingsUpdate,indexCreation,indexUpdate,indexSwap";
        self.newest_unfinished(of_settings).await.map(|task| task.is_some())
    }

    /// The newest task of this index that has not ended, among those that a filter lets through.
    async fn newest_unfinished(&self, filter: &str) -> Result<Option<u32>, RepairError> {
        let statuses = "statuses=enqueued,processing";
        let target = format!("/tasks?limit=1&{statuses}&indexUids={}{filter}", self.node_uid);
        let page = self.read(&target, limits::REPAIR_HELD_REQUEST_TIMEOUT).await?;
        let tasks = page["results"].as_array().ok_or_else(|| self.failed("it lists no tasks"))?;
        let Some(newest) = tasks.first() else { return Ok(None) };
        let uid = newest["uid"].as_u64().and_then(|uid| u32::try_from(uid).ok());
        uid.map(Some).ok_or_else(|| self.failed("a task has no uid"))
    }

    /// Waits until the node has done what it has been given by now; it may have been given more meanwhile.
    pub(crate) async fn catch_up(&self) -> Result<(), RepairError> {
        let Some(newest) = self.newest_unfinished("").await? else { return Ok(()) };
        self.end_of(newest).await.map(drop)
    }

    /// Waits until the node no longer works on this index, at most `time_max`.
    pub(crate) async fn wait_until_idle(&self, time_max: Duration) -> Result<(), RepairError> {
        let deadline = runtime::now() + time_max;
        while self.is_at_work().await? {
            if runtime::now() >= deadline {
                return Err(self.failed("it is still at work on the index"));
            }
            runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Waits until a task has succeeded.
    pub(crate) async fn wait_for(&self, task: u32) -> Result<(), RepairError> {
        let view = self.end_of(task).await?;
        match view["status"].as_str() {
            Some("succeeded") => Ok(()),
            _ => Err(self.failed(format!("task {task}: {}, {}", view["status"], view["error"]))),
        }
    }

    /// Waits until a task has ended, however it ends.
    async fn end_of(&self, task: u32) -> Result<Value, RepairError> {
        let deadline = runtime::now() + limits::REPAIR_TASK_TIMEOUT;
        loop {
            let view = self.read(&format!("/tasks/{task}"), self.core.shared.config.node_timeout).await?;
            match view["status"].as_str() {
                Some("enqueued" | "processing") if runtime::now() < deadline => {}
                Some("enqueued" | "processing") => {
                    return Err(self.failed(format!("task {task} does not end")));
                }
                _ => return Ok(view),
            }
            runtime::sleep(limits::NODE_TASK_POLL_INTERVAL).await;
        }
    }

    /// Sends a `GET` and reads the JSON answer.
    pub(crate) async fn read(&self, target: &str, time_max: Duration) -> Result<Value, RepairError> {
        let answer = self.core.pools.ask(self.node, NodeRequest::get(target), time_max).await;
        let answer = answer.map_err(|error| self.failed(error))?;
        if answer.status != StatusCode::OK {
            return Err(self.failed(format!("status {}", answer.status.as_u16())));
        }
        serde_json::from_slice(&answer.body).map_err(|error| self.failed(error))
    }

    /// Sends the node a change below the index; gives its task.
    pub(crate) async fn change(
        &self,
        method: Method,
        suffix: &str,
        body: impl Into<Bytes>,
    ) -> Result<u32, RepairError> {
        let target = format!("/indexes/{}{suffix}", self.node_uid);
        send(self.core, self.node, method, &target, body.into()).await.map_err(|reason| self.failed(reason))
    }

    pub(crate) async fn fetch(&self, body: &Value, time_max: Duration) -> Result<Bytes, RepairError> {
        let target = format!("/indexes/{}/documents/fetch", self.node_uid);
        let started = runtime::now();
        let request = NodeRequest::post_json(&target, body.to_string());
        let answer = self.core.pools.ask(self.node, request, time_max).await;
        let answer = answer.map_err(|error| self.failed(error))?;
        if answer.status != StatusCode::OK {
            let said = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]).into_owned();
            return Err(self.failed(format!("status {}: {said}", answer.status.as_u16())));
        }
        if let Pace::Share(share) = self.pace {
            let took = runtime::now().saturating_duration_since(started);
            runtime::sleep(took.mul_f64((1.0 / share - 1.0).max(0.0))).await;
        }
        Ok(answer.body)
    }
}

/// Sends a node a change; gives its task, or the reason why there is none.
pub(crate) async fn send(
    core: &Core,
    node: NodeIndex,
    method: Method,
    target: &str,
    body: Bytes,
) -> Result<u32, String> {
    let content_type = (!body.is_empty()).then_some("application/json");
    // Repair sends only what may be done twice.
    let request = NodeRequest { method, target, content_type, body, repeatable: true };
    let answer = core.pools.ask(node, request, core.shared.config.node_timeout).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let task = value["taskUid"].as_u64().and_then(|uid| u32::try_from(uid).ok());
    task.filter(|_| answer.status == StatusCode::ACCEPTED)
        .ok_or_else(|| format!("status {}: {}", answer.status.as_u16(), value["code"]))
}
