//! The cluster changes its shape: nodes come and go, copies become more and fewer, shards move.
//!
//! `operation` is the state machine, which knows neither time nor network; `queue` keeps operations in the store;
//! `run` carries out their phases, `shards` copies and sweeps, `pods` waits for everybody to follow, `newcomer` looks
//! at a server before it becomes a node, `outages` gives up nodes that stay away, `forecast` says what a plan will cost.
//!
//! Invariants: a phase is stored before it is entered, and may be entered again by any pod; an owner answers for every
//! shard at any time; what was left behind is deleted only when nobody can plan with it any more.

pub(crate) mod absences;
pub(crate) mod forecast;
pub(crate) mod newcomer;
pub mod operation;
pub(crate) mod outages;
pub(super) mod pods;
pub mod queue;
pub(crate) mod run;
mod shards;
pub(super) mod work;
