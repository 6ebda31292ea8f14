//! What becomes of a task on its nodes: its status, gathered on demand, and its cancelation.
//!
//! Invariant: a task's end is stored before a client sees it.

pub(crate) mod cancel;
pub(crate) mod registry_end;
pub mod status;
