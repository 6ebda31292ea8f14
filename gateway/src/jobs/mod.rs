//! The schedule of work that no client waits for.
//!
//! Invariant: work that only one pod may do begins with a term of its scope, and ends with it. May touch: every room
//! below `handlers`.

pub(crate) mod console_feed;
pub(crate) mod recover_intents;
pub mod schedule;
pub(crate) mod sweep;
pub(crate) mod upkeep;
