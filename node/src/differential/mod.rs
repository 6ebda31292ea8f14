//! The proof that nobody can tell a cluster from one node: the same questions to both, the answers compared.
//! Invariants: everything follows from a seed; comparison is strict, order among equals included; a difference counts as
//! explained only when a program has checked its cause; what the gateway does not serve yet is counted apart.

mod both;
mod cause;
mod client;
mod compare;
mod corpus;
mod families;
mod judge;
mod pair;
mod question;
mod ranks;
mod report;
mod runner;
mod shrink;
mod tokens;

pub use both::Ties;
pub(crate) use client::Client;
pub use report::Report;
pub use runner::{Options, family_names, run};
