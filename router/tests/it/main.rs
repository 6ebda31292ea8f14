//! Tests of routing: golden encodings, properties over random clusters, and limits on input.
//!
//! Invariants: every run uses the same seeds, so a failure repeats; nothing waits and nothing touches the network.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests panic and report as tests do")]

mod covering;
mod encoding;
mod placement;
mod random;
mod topology;
