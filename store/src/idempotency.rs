//! Idempotency keys: which task a client's key has made, and what a repeated request is told. The rules are pure and
//! the same for every backend.
//! - The step that creates a task also stores its key, so neither exists without the other.
//! - A key is valid for `IDEMPOTENCY_TTL` by the store's clock. An older one counts as absent.
//! - A key outlives its task: a repeated request is answered even after the task was deleted.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::coordination::millis;
use crate::limits::{IDEMPOTENCY_KEYS_SWEPT_MAX, IDEMPOTENCY_TTL};
use crate::{Store, StoreError, Table, TaskRecord};

/// The first task of each key.
pub const IDEMPOTENCY_KEYS: Table = Table::named("idempotency");

/// A client's idempotency key, and the digest that tells its request from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub key: String,
    pub digest: String,
}

/// The task that a key refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstTask {
    // Must come first, see `halves`.
    uid: u32,
    digest: String,
    expires_ms: u64,
    task: TaskRecord,
}

/// Result of [`sweep`]: how many keys it deleted and how many remain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    pub forgotten: usize,
    pub left: usize,
}

impl FirstTask {
    pub(crate) fn new(key: &IdempotencyKey, task: &TaskRecord, now: Duration) -> FirstTask {
        let bare = TaskRecord { details: None, owners: Vec::new(), idempotency_key: None, ..task.clone() };
        let expires_ms = millis(now + IDEMPOTENCY_TTL);
        FirstTask { uid: task.uid, digest: key.digest.clone(), expires_ms, task: bare }
    }

    /// The task as its client first saw it. It may have changed or been deleted since.
    #[must_use]
    pub fn task(&self) -> TaskRecord {
        TaskRecord { uid: self.uid, ..self.task.clone() }
    }

    /// Whether the request with this digest made the task.
    #[must_use]
    pub fn is_of(&self, digest: &str) -> bool {
        self.digest == digest
    }

    pub(crate) fn is_live(&self, now: Duration) -> bool {
        self.expires_ms > millis(now)
    }

    /// The JSON before and after the uid: the Redis script inserts the uid, which it assigns itself.
    pub(crate) fn halves(&self) -> Result<(Bytes, Bytes), StoreError> {
        const HEAD: &str = "{\"uid\":";
        let json = serde_json::to_string(self).map_err(|error| StoreError::Io(error.to_string()))?;
        let behind =
            json.find(',').ok_or_else(|| StoreError::Io("a key was written strangely".to_owned()))?;
        Ok((Bytes::from_static(HEAD.as_bytes()), Bytes::copy_from_slice(&json.as_bytes()[behind..])))
    }
}

/// Whether a request may make a task, given the task that its key refers to.
pub(crate) fn judge(
    key: &IdempotencyKey,
    known: Option<&FirstTask>,
    now: Duration,
) -> Result<(), StoreError> {
    match known.filter(|known| known.is_live(now)) {
        None => Ok(()),
        Some(known) if known.is_of(&key.digest) => Err(StoreError::Repeated),
        Some(_) => Err(StoreError::Reused),
    }
}

/// Deletes the keys that have expired at the time `now` (since 1970), which must not be later than the store's clock.
///
/// # Errors
/// Those of [`Store::records`] and [`Store::delete_record`], except `Conflict`.
pub async fn sweep(store: &Store, now: Duration) -> Result<Swept, StoreError> {
    let (mut swept, mut after) = (Swept::default(), None::<String>);
    loop {
        let records = store.records(IDEMPOTENCY_KEYS, after.as_deref(), IDEMPOTENCY_KEYS_SWEPT_MAX).await?;
        let Some(last) = records.last() else { return Ok(swept) };
        after = Some(last.key.clone());
        let is_over = |value: &Value| FirstTask::deserialize(value).is_ok_and(|known| !known.is_live(now));
        let (over, live): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| is_over(&record.value));
        swept.left += live.len();
        let forgotten: Vec<_> = over
            .iter()
            .map(|record| store.delete_record(IDEMPOTENCY_KEYS, &record.key, record.revision))
            .collect();
        for reply in forgotten {
            match reply.await {
                Ok(()) => swept.forgotten += 1,
                // The key was used again since it was read.
                Err(StoreError::Conflict) => swept.left += 1,
                Err(error) => return Err(error),
            }
        }
    }
}
