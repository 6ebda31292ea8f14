//! Wakes this process's workers when work is requested here.

use tokio::sync::Notify;

/// One per process.
#[derive(Default)]
pub struct Wakeups {
    /// A pass over the copies is requested.
    pub pass: Notify,
    /// A copy of a node is requested.
    pub node_copy: Notify,
    /// There is an import of a dump to work on.
    pub import: Notify,
}
