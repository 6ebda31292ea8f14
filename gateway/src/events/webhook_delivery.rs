//! Tells webhooks of tasks that have ended: the gateway's own tasks, as clients see them.
//!
//! Invariants: every task that ends while there are webhooks is told at least once, also when the process dies in
//! between. A webhook that does not answer is tried a bounded number of times. Without webhooks nothing is asked or
//! kept.

use std::{cell::RefCell, collections::BTreeSet, io::Write, rc::Rc};

use flate2::{Compression, write::GzEncoder};
use futures_util::future::join_all;
use serde_json::json;
use store::{Change, StoreError, TaskQuery, TaskRecord};
use uuid::Uuid;

use crate::{
    api::{tasks::view, webhook::Webhook},
    config::limits,
    observe::log,
    state::{
        core::Core,
        leadership::{Term, scope},
        shared::{WEBHOOKS, WEBHOOKS_TOLD_KEY},
    },
    wire::{outbound::blocking, runtime},
    write::tasks::status,
};

/// The tasks of which webhooks have not been told yet.
pub(crate) type Watched = Rc<RefCell<Option<Watch>>>;

pub(crate) struct Watch {
    /// Tasks from this uid on have not been read yet.
    next: u32,
    /// Tasks that had not ended when they were last read.
    pending: BTreeSet<u32>,
    /// The stored progress and its revision.
    progress: u32,
    revision: u64,
}

/// Tells all webhooks which tasks have ended since the last round.
pub(crate) async fn tell(core: &Core, watched: &Watched) {
    let before = watched.take();
    let Some(term) = core.shared.coordinator.term(scope::WEBHOOKS) else { return };
    match run_round(core, before, &term).await {
        Ok(after) => drop(watched.replace(after)),
        // The next round begins where the stored progress says.
        Err(error) => log::warn("webhooks_failed", &[("reason", &error.to_string())]),
    }
}

async fn run_round(core: &Core, before: Option<Watch>, term: &Term) -> Result<Option<Watch>, StoreError> {
    let known = core.shared.webhooks.load_full();
    let webhooks = &known.value;
    if webhooks.is_empty() {
        return Ok(None);
    }
    let begun = match before {
        Some(watch) => Some(watch),
        None => Watch::begin(core).await?,
    };
    let Some(mut watch) = begun else { return Ok(None) };
    if status::refresh_unfinished(core).await.is_err() {
        log::warn("webhooks_without_news", &[]);
    }
    let ended = watch.take_ended(core).await?;
    if !ended.is_empty() {
        let body = lines(&ended);
        join_all(webhooks.iter().map(|(uuid, webhook)| deliver(core, *uuid, webhook, &body))).await;
    }
    watch.remember(core, term).await?;
    Ok(Some(watch))
}

impl Watch {
    /// Continues where the last round or process stopped.
    async fn begin(core: &Core) -> Result<Option<Self>, StoreError> {
        let Some(record) = core.shared.store.record(WEBHOOKS, WEBHOOKS_TOLD_KEY).await? else {
            return Ok(None);
        };
        let progress = record.value.as_u64().and_then(|progress| u32::try_from(progress).ok()).unwrap_or(0);
        Ok(Some(Self { next: progress, pending: BTreeSet::new(), progress, revision: record.revision }))
    }

    /// Gives the tasks that have ended, and no longer watches them.
    async fn take_ended(&mut self, core: &Core) -> Result<Vec<TaskRecord>, StoreError> {
        if let Some(newest) = newest(core).await? {
            let count_max = u32::try_from(limits::TASKS_REFRESHED_MAX).unwrap_or(u32::MAX);
            let end = newest.saturating_add(1).min(self.next.saturating_add(count_max));
            self.pending.extend(self.next..end);
            self.next = self.next.max(end);
        }
        let checked = self.pending.iter().copied().take(limits::TASKS_REFRESHED_MAX).collect::<Vec<_>>();
        let records = join_all(checked.iter().map(|uid| core.shared.store.task(*uid))).await;
        let mut ended = Vec::new();
        for (uid, record) in checked.into_iter().zip(records) {
            match record? {
                Some(record) if !record.status.is_finished() => {}
                // Clients do not know of a task that was never accepted; one that is gone was deleted.
                Some(record) if record.accepted => {
                    self.pending.remove(&uid);
                    ended.push(record);
                }
                Some(_) | None => drop(self.pending.remove(&uid)),
            }
        }
        Ok(ended)
    }

    async fn remember(&mut self, core: &Core, term: &Term) -> Result<(), StoreError> {
        let progress = self.pending.first().copied().unwrap_or(self.next);
        if progress != self.progress {
            let (key, value) = (WEBHOOKS_TOLD_KEY.to_owned(), json!(progress));
            let expected_revision = Some(self.revision);
            let put = Change::PutRecord { table: WEBHOOKS, key, value, expected_revision };
            (self.revision, self.progress) = (core.shared.commit_by(term, vec![put]).await?[0], progress);
        }
        Ok(())
    }
}

/// The uid of the newest task.
async fn newest(core: &Core) -> Result<Option<u32>, StoreError> {
    Ok(core.shared.store.tasks(TaskQuery { limit: 1, ..TaskQuery::default() }).await?.from)
}

/// Tasks as lines of JSON, compressed.
fn lines(tasks: &[TaskRecord]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for record in tasks {
        // Writing to memory does not fail.
        let _ = writeln!(encoder, "{}", view::view(record));
    }
    encoder.finish().unwrap_or_default()
}

async fn deliver(core: &Core, uuid: Uuid, webhook: &Webhook, body: &[u8]) {
    let uuid = uuid.to_string();
    for attempt in 1..=limits::WEBHOOK_ATTEMPTS_MAX {
        let (agent, webhook, body) = (core.shared.outbound.clone(), webhook.clone(), body.to_vec());
        let sent = blocking("webhook", move || post(&agent, &webhook, &body)).await;
        let Err(reason) = sent.unwrap_or_else(|| Err("no thread could be had for it".to_owned())) else {
            return;
        };
        log::warn(
            "webhook_failed",
            &[("webhook", &uuid), ("attempt", &attempt.to_string()), ("reason", &reason)],
        );
        if attempt < limits::WEBHOOK_ATTEMPTS_MAX {
            runtime::sleep(limits::WEBHOOK_RETRY_PAUSE).await;
        }
    }
}

fn post(agent: &ureq::Agent, webhook: &Webhook, body: &[u8]) -> Result<(), String> {
    let mut request = agent
        .post(&webhook.url)
        .header("content-encoding", "gzip")
        .header("content-type", "application/x-ndjson");
    for (name, value) in &webhook.headers {
        request = request.header(name, value);
    }
    match request.send(body) {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("status {}", answer.status().as_u16())),
        Err(error) => Err(error.to_string()),
    }
}
