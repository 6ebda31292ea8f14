//! The node over HTTP, as a client sees it.
//! Invariants: every test has a node of its own on a free port and a directory of its own; waiting means
//! polling a task until it is finished, never sleeping a guessed time.

#![allow(clippy::unwrap_used, reason = "the whole binary is a test, helpers included")]

mod client;
mod documents;
mod errors;
mod faults;
mod indexes;
mod search;
mod settings;
mod tasks;
mod vectors;
