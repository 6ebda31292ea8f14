//! What imitates clients or repeats what they do: canaries, and shadows that get a copy of searches.
//!
//! Invariants: no client waits for anything here, and nothing here writes documents. Without canaries, captures and
//! shadows nothing runs but one look at an empty table a second. May touch: `read`, `state`, `api` and lower floors.

pub mod canaries;
pub mod canary_table;
pub(crate) mod capture;
pub(crate) mod shadow;
