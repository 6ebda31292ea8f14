//! The proof that a cluster cannot be distinguished from one node: the same questions to both, the answers compared.
//! Invariants: a seed determines everything. Comparison is strict, including the order among equals. A difference
//! counts as explained only if a program has verified its cause. What the gateway does not serve yet is counted
//! separately.

pub(crate) mod client;
pub(crate) mod compare;
pub(crate) mod corpus;
pub(crate) mod families;
pub(crate) mod known_differences;
pub(crate) mod question;
pub(crate) mod rank_order;
pub(crate) mod report;
pub(crate) mod runner;
pub(crate) mod setup;
pub(crate) mod shrink;
pub(crate) mod targets;
pub(crate) mod tokens;
pub(crate) mod verdict;

pub(crate) use crate::differential::client::Client;
pub use crate::differential::report::Report;
pub use crate::differential::runner::{Options, family_names, run};
pub use crate::differential::setup::Layout;
pub use crate::differential::targets::Ties;
