//! What breaks: bad input, crashes, damaged answers, drift.

mod bad_input;
mod chaos;
mod crash;
mod drift;
mod failover;
mod garbled;
mod node_restart;
mod panics;
mod repair;
mod startup;
