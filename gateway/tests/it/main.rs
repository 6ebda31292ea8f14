//! The gateway's binary and its HTTP/1.1, as any client on the wire sees them. Invariants: every test has a gateway
//! of its own on free ports. Tests wait for events, with a deadline.

#![allow(clippy::unwrap_used, reason = "the whole binary is a test, helpers included")]

mod conformance;
mod endurance;
mod gateway;
mod operations;
mod start_limits;
mod store_file;
mod tls;
mod wire;
