//! A task's node tasks: their status, gathered on demand, and their cancelation.
//!
//! Invariant: a task's end is stored before a client sees it.

pub(crate) mod cancel;
pub(crate) mod fail;
pub mod status;
