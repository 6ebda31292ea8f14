//! The store's tests: one table of cases for every backend, task queries against a naive model, opening, and what
//! remains after `kill -9`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the lint's own exemption misses helpers of tests"
)]

mod bounds;
mod conformance;
mod coordination;
mod deployments;
mod kill;
mod once;
mod opening;
mod outage;
mod queries;
mod redis;
mod stale;
mod support;
mod transfer;
