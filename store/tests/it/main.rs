//! The store's tests: one behaviour table for every backend, task queries against a naive model,
//! opening, and what is left after `kill -9`.

mod conformance;
mod kill;
mod opening;
mod queries;
mod support;
