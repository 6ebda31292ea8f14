//! Tests of the targets and the tidy checks over the whole repository.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod gateways;
mod simulation;
mod smoke;
mod tidy;
