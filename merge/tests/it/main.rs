//! Black-box tests of `merge`: tables for single rules, and random legs against a slow, obvious model.
//!
//! Every random test is a loop over seeds; a failure names its seed.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod deep;
mod documents;
mod facets;
mod federation;
mod malformed;
mod model;
mod ranking;
mod search;
mod stripping;
mod world;
