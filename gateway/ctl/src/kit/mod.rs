//! What all commands share: arguments, the client of the gateway, tables, questions, operations that take long.
//!
//! Invariant: nothing here knows a single command.

pub(crate) mod arguments;
pub(crate) mod change;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod credentials;
pub(crate) mod failure;
pub(crate) mod findings;
pub(crate) mod generate;
pub(crate) mod help;
pub(crate) mod operation;
pub(crate) mod report;
pub(crate) mod show;
pub(crate) mod table;
pub(crate) mod watch;
