//! Wakes this process's workers when something is asked for here.

use tokio::sync::Notify;

/// One per process.
#[derive(Default)]
pub struct Wakeups {
    /// A pass over the copies is asked for.
    pub pass: Notify,
    /// A copy of a node is asked for.
    pub node_copy: Notify,
}
