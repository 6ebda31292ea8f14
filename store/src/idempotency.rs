//! Requests that are done once: which task a client's key has made, and what a repetition is told. The rules are pure
//! and the same for every backend.
//! - A key is stored in the step that creates its task, so that there is never one without the other.
//! - It stands for `ONCE_TTL` by the store's clock; one that is older is as none.
//! - It outlives its task: a repetition is answered also after the task was deleted.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::coordination::millis;
use crate::limits::{ONCE_SWEPT_MAX, ONCE_TTL};
use crate::{Store, StoreError, Table, TaskRecord};

/// First tasks by key.
pub const ONCE: Table = Table::named("idempotency");

/// A client's key, and what tells its request from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub key: String,
    pub digest: String,
}

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstTask {
    // Comes first, see `halves`.
    uid: u32,
    digest: String,
    expires_ms: u64,
    task: TaskRecord,
}

/// How many keys were forgotten, and how many are left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    pub forgotten: usize,
    pub left: usize,
}

impl FirstTask {
    pub(crate) fn new(once: &IdempotencyKey, task: &TaskRecord, now: Duration) -> FirstTask {
        let bare = TaskRecord { details: None, owners: Vec::new(), idempotency_key: None, ..task.clone() };
        let expires_ms = millis(now + ONCE_TTL);
        FirstTask { uid: task.uid, digest: once.digest.clone(), expires_ms, task: bare }
    }

    /// The task as it was told to its client at first; it may have changed or be gone since.
    #[must_use]
    pub fn task(&self) -> TaskRecord {
        TaskRecord { uid: self.uid, ..self.task.clone() }
    }

    /// Whether it was made by the request with this digest.
    #[must_use]
    pub fn is_of(&self, digest: &str) -> bool {
        self.digest == digest
    }

    pub(crate) fn is_live(&self, now: Duration) -> bool {
        self.expires_ms > millis(now)
    }

    /// Its JSON around the uid, which a script knows only when it stores it.
    pub(crate) fn halves(&self) -> Result<(Bytes, Bytes), StoreError> {
        const HEAD: &str = "{\"uid\":";
        let json = serde_json::to_string(self).map_err(|error| StoreError::Io(error.to_string()))?;
        let behind =
            json.find(',').ok_or_else(|| StoreError::Io("a key was written strangely".to_owned()))?;
        Ok((Bytes::from_static(HEAD.as_bytes()), Bytes::copy_from_slice(&json.as_bytes()[behind..])))
    }
}

/// Whether a request may make a task now, given what its key stands for.
pub(crate) fn judge(
    once: &IdempotencyKey,
    known: Option<&FirstTask>,
    now: Duration,
) -> Result<(), StoreError> {
    match known.filter(|known| known.is_live(now)) {
        None => Ok(()),
        Some(known) if known.is_of(&once.digest) => Err(StoreError::Repeated),
        Some(_) => Err(StoreError::Reused),
    }
}

/// Forgets the keys that no longer stand at a time (since 1970), which is to be no later than the store's.
///
/// # Errors
/// The store's own.
pub async fn sweep(store: &Store, now: Duration) -> Result<Swept, StoreError> {
    let (mut swept, mut after) = (Swept::default(), None::<String>);
    loop {
        let records = store.records(ONCE, after.as_deref(), ONCE_SWEPT_MAX).await?;
        let Some(last) = records.last() else { return Ok(swept) };
        after = Some(last.key.clone());
        let is_over = |value: &Value| FirstTask::deserialize(value).is_ok_and(|known| !known.is_live(now));
        let (over, live): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| is_over(&record.value));
        swept.left += live.len();
        let forgotten: Vec<_> =
            over.iter().map(|record| store.delete_record(ONCE, &record.key, record.revision)).collect();
        for reply in forgotten {
            match reply.await {
                Ok(()) => swept.forgotten += 1,
                // It was used again meanwhile.
                Err(StoreError::Conflict) => swept.left += 1,
                Err(error) => return Err(error),
            }
        }
    }
}
