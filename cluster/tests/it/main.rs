//! Whole clusters, used as clients use them: reads, writes, failures, and pods that share work.
//!
//! Invariants: every test has a cluster and a directory of its own. Waiting means polling for an event, never sleeping
//! for a guessed time.

#![allow(clippy::unwrap_used, reason = "the whole binary is a test, helpers included")]

mod api;
mod data;
mod failures;
mod operator;
mod pods;
mod reads;
mod support;
mod topology;
mod writes;
