//! One node: its queue, its indexes, and the thread between them.
//! Invariants: the data directory belongs to one node at a time. Opening it again continues where the last process
//! stopped.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use serde_json::Value;

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::engine::Workers;
use crate::errors::ApiError;
use crate::faults::FaultSwitches;
use crate::scheduler::Scheduler;
use crate::tasks::{Draft, Registry, Task, Work};

/// The options of a node.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The directory of everything durable; created if missing.
    pub data: PathBuf,
    /// The key that every request except `/health` must carry; `None` means open access.
    pub master_key: Option<String>,
    /// Whether writes reach the disk before they are acknowledged. If not, a crash of the machine (not of the process)
    /// can lose them.
    pub sync: bool,
    /// Threads that index documents.
    pub indexing_threads: usize,
}

impl NodeOptions {
    /// Durable, open, two indexing threads.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), master_key: None, sync: true, indexing_threads: 2 }
    }
}

pub(crate) struct Node {
    pub(crate) registry: Arc<Registry>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) faults: FaultSwitches,
    pub(crate) workers: Arc<Workers>,
    pub(crate) master_key: Option<String>,
}

impl Node {
    /// Opens the data directory and starts the scheduler. Also returns the scheduler's thread.
    pub(crate) fn open(options: &NodeOptions) -> Result<(Arc<Self>, JoinHandle<()>), ApiError> {
        std::fs::create_dir_all(&options.data)?;
        let clock = Arc::new(Clock::default());
        let (registry, table) =
            Registry::open(&options.data.join("tasks"), options.sync, Arc::clone(&clock))?;
        let workers = Arc::new(Workers::new(options.indexing_threads, options.sync)?);
        workers.allow_contains_filter(registry.features()["containsFilter"] == true);
        let registry = Arc::new(registry);
        let catalog = Arc::new(Catalog::open(&options.data, &table, Arc::clone(&workers))?);
        let scheduler = Scheduler::new(options.data.clone(), Arc::clone(&registry), Arc::clone(&catalog));
        let thread = std::thread::Builder::new().name("scheduler".to_owned()).spawn(move || {
            if let Err(error) = scheduler.run() {
                // Nothing can be acknowledged any more, so abort rather than continue wrongly.
                eprintln!("the task queue failed: {error}");
                std::process::abort();
            }
        })?;
        let node = Self {
            registry,
            catalog,
            clock,
            faults: FaultSwitches::default(),
            workers,
            master_key: options.master_key.clone(),
        };
        Ok((Arc::new(node), thread))
    }

    /// Registers a task. A fault switch may cause it to be lost.
    pub(crate) fn enqueue(&self, index_uid: Option<&str>, work: Work) -> Result<Task, ApiError> {
        self.register(Draft {
            index_uid: index_uid.map(str::to_owned),
            work,
            details: None,
            payload: None,
            dropped: false,
        })
    }

    /// Registers a settings task whose details differ from its work.
    pub(crate) fn enqueue_with_details(
        &self,
        index_uid: &str,
        work: Work,
        details: Value,
    ) -> Result<Task, ApiError> {
        self.register(Draft {
            index_uid: Some(index_uid.to_owned()),
            work,
            details: Some(details),
            payload: None,
            dropped: false,
        })
    }

    /// Registers an addition with its NDJSON payload.
    pub(crate) fn enqueue_payload(
        &self,
        index_uid: &str,
        work: Work,
        payload: bytes::Bytes,
    ) -> Result<Task, ApiError> {
        self.register(Draft {
            index_uid: Some(index_uid.to_owned()),
            work,
            details: None,
            payload: Some(payload),
            dropped: false,
        })
    }

    fn register(&self, mut draft: Draft) -> Result<Task, ApiError> {
        let is_write = !matches!(draft.work, Work::TaskCancelation { .. } | Work::TaskDeletion { .. });
        draft.dropped = is_write && self.faults.takes_a_drop();
        self.registry.register(draft)
    }
}
