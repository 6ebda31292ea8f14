//! Whole clusters, driven as clients drive them: what they read, write, survive, and how pods share the work.
//!
//! Invariants: every test has a cluster and a directory of its own; waiting means polling for an event, never sleeping a
//! guessed time.

#![allow(clippy::unwrap_used, reason = "the whole binary is a test, helpers included")]

mod api;
mod failures;
mod pods;
mod reads;
mod support;
mod writes;
