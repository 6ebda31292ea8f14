//! How far each sink has come, in the store: any pod shows it, and a pod that takes over goes on from there.
//!
//! Invariant: a cursor moves forward only, by compare-and-swap, after the entries before it were delivered.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, StoreError, Table};

use crate::{
    config::CdcSink,
    state::{leadership::Term, shared::Shared},
};

const CURSORS: Table = Table::named("cdc_cursors");

/// A sink's progress.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Progress {
    /// The last entry that was delivered whole; 0 for none.
    pub(crate) cursor: u64,
    pub(crate) delivered_events: u64,
    /// Entries that were given up because the stream was over its bound.
    pub(crate) dropped: u64,
    pub(crate) failures: u32,
    pub(crate) last_error: Option<String>,
    /// When the last entry was delivered, in seconds since 1970.
    pub(crate) delivered_at: i64,
    #[serde(skip)]
    pub(crate) revision: Option<u64>,
}

/// A sink's progress; that of a new sink where there is none.
pub(crate) async fn load(shared: &Shared, sink: &CdcSink) -> Result<Progress, StoreError> {
    Ok(match shared.store.record(CURSORS, &sink.name()).await? {
        Some(record) => {
            let progress = serde_json::from_value::<Progress>(record.value).unwrap_or_default();
            Progress { revision: Some(record.revision), ..progress }
        }
        None => Progress::default(),
    })
}

/// Stores a sink's progress.
///
/// # Errors
/// `Conflict` or `Fenced` when another pod delivers by now; else the store's error.
pub(crate) async fn store(
    shared: &Shared,
    term: &Term,
    sink: &CdcSink,
    progress: &mut Progress,
) -> Result<(), StoreError> {
    let put = Change::PutRecord {
        table: CURSORS,
        key: sink.name(),
        value: json!(progress),
        expected_revision: progress.revision,
    };
    progress.revision = shared.commit_by(term, vec![put]).await?.first().copied();
    Ok(())
}

/// A sink as the management API shows it.
pub(crate) fn view(sink: &CdcSink, progress: &Progress, behind: (u64, u64), secret: Option<String>) -> Value {
    let (buffered_bytes, lag_seconds) = behind;
    json!({
        "name": sink.name(),
        "kind": sink.kind.name(),
        "url": sink.shown_url(),
        "state": match (&progress.last_error, buffered_bytes) {
            (Some(_), _) => "retrying",
            (None, 0) => "idle",
            (None, _) => "delivering",
        },
        "cursor": progress.cursor,
        "lagSeconds": lag_seconds,
        "bufferedBytes": buffered_bytes,
        "delivered": progress.delivered_events,
        "dropped": progress.dropped,
        "failures": progress.failures,
        "lastError": progress.last_error,
        "body": sink.body,
        "batch": sink.batch,
        "signingSecret": secret,
    })
}
