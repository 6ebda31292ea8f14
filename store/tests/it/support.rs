//! Shared by the tests: a store in a directory of its own, waiting for replies, sample records.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_lite::future::block_on;
use serde_json::json;
use store::{
    Clock, IndexRecord, NewTask, Reply, Store, StoreError, StoreThread, TaskChange, TaskKind, TaskStatus,
};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

/// A store of any backend that can be closed and opened again.
pub(crate) struct Subject {
    open: Box<dyn Fn() -> (Store, StoreThread)>,
    running: Option<(Store, StoreThread)>,
    /// Milliseconds since 1970.
    clock: Arc<AtomicU64>,
}

impl Subject {
    pub(crate) fn new(open: impl Fn(Clock) -> (Store, StoreThread) + 'static) -> Subject {
        let clock = Arc::new(AtomicU64::new(1_767_225_600_000));
        let told = Arc::clone(&clock);
        let tell: Clock = Arc::new(move || std::time::Duration::from_millis(told.load(Ordering::SeqCst)));
        let open = move || open(Arc::clone(&tell));
        let running = Some(open());
        Subject { open: Box::new(open), running, clock }
    }

    pub(crate) fn sled() -> Subject {
        let directory = TempDir::new().unwrap();
        Subject::new(move |clock| {
            let _no_fork = FORKING.lock();
            store::open_sled_with_clock(directory.path(), clock).unwrap_or_else(|error| panic!("{error}"))
        })
    }

    /// Moves the store's clock forward, or back.
    pub(crate) fn pass(&self, milliseconds: i64) {
        let _ = self
            .clock
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| now.checked_add_signed(milliseconds));
    }

    pub(crate) fn store(&self) -> &Store {
        &self.running.as_ref().unwrap().0
    }

    pub(crate) fn reopen(&mut self) {
        let (_store, thread) = self.running.take().unwrap();
        thread.join().unwrap();
        self.running = Some((self.open)());
    }

    pub(crate) fn stop(&mut self) -> Store {
        let (store, thread) = self.running.take().unwrap();
        thread.join().unwrap();
        store
    }
}

/// Locked while a child is spawned. Until the child runs its own program it has a copy of every lock of this process,
/// and a store closed meanwhile could not be opened again.
pub(crate) static FORKING: Mutex<()> = Mutex::new(());

pub(crate) fn open(path: &Path) -> (Store, StoreThread) {
    let _no_fork = FORKING.lock();
    store::open_sled(path).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn wait<T>(reply: Reply<T>) -> Result<T, StoreError> {
    block_on(reply)
}

/// The given number of seconds after a fixed moment.
pub(crate) fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_767_225_600).unwrap() + Duration::seconds(seconds)
}

pub(crate) fn new_task(index: &str, enqueued_at: OffsetDateTime) -> NewTask {
    NewTask {
        index_uid: Some(index.to_owned()),
        named: None,
        kind: TaskKind::DocumentAdditionOrUpdate,
        accepted: true,
        details: Some(json!({"receivedDocuments": 3, "indexedDocuments": null})),
        custom_metadata: None,
        enqueued_at,
        owners: Vec::new(),
        idempotency_key: None,
    }
}

pub(crate) fn finish(status: TaskStatus, finished_at: OffsetDateTime) -> TaskChange {
    TaskChange { status: Some(status), finished_at: Some(finished_at), ..TaskChange::default() }
}

pub(crate) fn index_record(uid: &str) -> IndexRecord {
    IndexRecord {
        uid: uid.to_owned(),
        node_uid: format!("{uid}-on-nodes"),
        primary_key: Some("id".to_owned()),
        shards: 64,
        created_at: at(0),
        updated_at: at(1),
        settings: json!({"rankingRules": ["words"], "stopWords": []}),
        settings_version: 1,
        settings_pending: false,
        keys_are_plain: true,
        settings_ahead: Vec::new(),
        key_tasks: Vec::new(),
        key_is_stale: false,
        ttl: None,
        twin: None,
        revision: 0,
    }
}
