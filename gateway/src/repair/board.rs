//! Where a pass over the copies is asked for, and where its progress shows.
//!
//! Invariant: one pass waits at most, and one runs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;
use router::NodeIndex;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::Notify;

use super::report::Report;

/// Where a pass is asked for, and where its progress shows. One per process.
#[derive(Default)]
pub struct Board {
    pub(super) wanted: ArcSwapOption<Wanted>,
    pub(super) asked: Notify,
    pub(super) last_number: AtomicU64,
    pub(super) running: ArcSwapOption<Pass>,
}

/// A pass somebody asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) number: u64,
    pub(super) index: Option<String>,
    pub(super) node: Option<NodeIndex>,
    pub(super) dry_run: bool,
    pub(super) periodic: bool,
}

/// A pass, running or ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pass {
    /// Counts the passes of this process.
    pub number: u64,
    pub index: Option<String>,
    /// The id of the node that alone was brought level, its indexes and settings, too.
    #[serde(default)]
    pub node: Option<String>,
    pub dry_run: bool,
    pub periodic: bool,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// The clock when it began.
    pub clock: u64,
    /// Whether every copy of everything was compared.
    pub whole: bool,
    pub report: Report,
}

impl Board {
    /// Asks for a pass; answers its number. One that was asked for and has not begun is replaced.
    pub fn ask(&self, index: Option<String>, node: Option<NodeIndex>, dry_run: bool) -> u64 {
        let number = self.last_number.fetch_add(1, Ordering::AcqRel) + 1;
        self.wanted.store(Some(Arc::new(Wanted { number, index, node, dry_run, periodic: false })));
        self.asked.notify_one();
        number
    }

    /// The number of the pass that waits for its turn, and the one that runs.
    #[must_use]
    pub fn status(&self) -> (Option<u64>, Option<Arc<Pass>>) {
        (self.wanted.load().as_ref().map(|wanted| wanted.number), self.running.load_full())
    }

    pub(super) async fn next(&self) -> Wanted {
        loop {
            if let Some(wanted) = self.wanted.swap(None) {
                return Wanted::clone(&wanted);
            }
            self.asked.notified().await;
        }
    }
}
