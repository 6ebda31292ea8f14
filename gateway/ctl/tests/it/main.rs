//! Tests `miroir-ctl` as an operator starts it, against gateways that a test simulates.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod commands;
mod gateway;
mod program;
mod store;
mod tls;
