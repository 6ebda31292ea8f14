//! What breaks: bad input, crashes, damaged answers, drift.

pub(crate) mod bad_input;
pub(crate) mod chaos;
pub(crate) mod crash;
pub(crate) mod drift;
pub(crate) mod failover;
pub(crate) mod garbled;
pub(crate) mod node_restart;
pub(crate) mod panics;
pub(crate) mod repair;
pub(crate) mod startup;
