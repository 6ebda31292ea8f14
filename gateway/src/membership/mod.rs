//! Membership: how nodes join, fall behind and return.
//!
//! Invariant: only `rejoin` makes a node serve again, and only once it has all that it missed. May touch: `repair`,
//! `pods`, `write`, `read`, `state`, `nodes` and lower floors.

pub(crate) mod catch_up;
pub mod high_water_marks;
pub(crate) mod hint_replay;
pub(crate) mod prober;
pub mod rebalance;
pub(crate) mod rejoin;
pub(crate) mod reshard;
