//! What one phase of one operation goes by, and why a phase is not done.
//!
//! Invariant: nothing here moves an operation on; `run` does.

use std::ops::Deref;

use router::{NodeIndex, TopologyError, rebalance::Plan};
use store::StoreError;

use crate::{
    membership::rebalance::{
        absences::Absences,
        operation::{Event, Operation},
        queue::{self, QueueError},
    },
    repair::report::RepairError,
    state::{core::Core, leadership::Term},
};

/// Why a phase is not done.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Trouble {
    pub(super) reason: String,
    /// Another pod leads, or an operator has something else in mind: whatever is done next is not for this run.
    pub(super) is_over: bool,
}

impl Trouble {
    pub(crate) fn new(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), is_over: false }
    }

    pub(crate) fn over() -> Self {
        Self { reason: "it is another's".to_owned(), is_over: true }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self { is_over: error == StoreError::Fenced, reason: error.to_string() }
    }
}

impl From<QueueError> for Trouble {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Store(error) => error.into(),
            QueueError::NotNow(_) => Self::over(),
            QueueError::Unknown(_) | QueueError::Unreadable(_) => Self::new(error),
        }
    }
}

impl From<RepairError> for Trouble {
    fn from(error: RepairError) -> Self {
        match error {
            RepairError::Store(error) => error.into(),
            RepairError::Unwanted => Self::over(),
            RepairError::Node { .. } | RepairError::IndexGone | RepairError::Busy => Self::new(error),
        }
    }
}

impl From<TopologyError> for Trouble {
    fn from(error: TopologyError) -> Self {
        Self::new(error)
    }
}

/// What one phase of one operation goes by.
pub(crate) struct Work<'a> {
    pub(crate) core: &'a Core,
    pub(crate) term: Term,
    pub(crate) operation: Operation,
    pub(crate) absences: &'a Absences,
}

/// The same, of an operation that moves shards.
pub(super) struct Moves<'a> {
    pub(super) work: Work<'a>,
    pub(super) plan: Plan,
}

impl<'a> Deref for Moves<'a> {
    type Target = Work<'a>;

    fn deref(&self) -> &Work<'a> {
        &self.work
    }
}

impl Moves<'_> {
    pub(super) fn targets(&self) -> Vec<NodeIndex> {
        let mut targets = self.plan.moves.iter().map(|each| each.to).collect::<Vec<_>>();
        targets.sort_unstable();
        targets.dedup();
        targets
    }
}

impl Work<'_> {
    /// Whether the operation is still to be carried out as it was.
    pub(crate) async fn check_wish(&self) -> Result<(), Trouble> {
        let now = queue::one(&self.core.shared, self.operation.operation).await?;
        if now.stands_like(&self.operation) { Ok(()) } else { Err(Trouble::over()) }
    }

    /// Has something happen to the operation that does not move it on.
    pub(crate) async fn tell(&self, event: Event) -> Result<(), Trouble> {
        queue::step(&self.core.shared, &self.term, self.operation.operation, event).await?;
        Ok(())
    }

    /// Tells the operation what was copied.
    pub(super) async fn copied(&self, documents: u64, bytes: u64, is_delta: bool) -> Result<(), Trouble> {
        if documents > 0 {
            metrics::counter!("miroir_rebalance_documents_migrated_total").increment(documents);
            metrics::counter!("miroir_rebalance_bytes_migrated_total").increment(bytes);
            let event = Event::Copied { documents, bytes, is_delta };
            self.tell(event).await?;
        }
        Ok(())
    }
}
