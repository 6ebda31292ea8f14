//! The gateway's binary and its HTTP/1.1, as strangers on the wire see them.
//! Invariants: every test has a gateway of its own on free ports; what is waited for is an event with a deadline.

#![allow(clippy::unwrap_used, reason = "the whole binary is a test, helpers included")]

mod conformance;
mod endurance;
mod gateway;
mod operations;
mod tls;
mod wire;
