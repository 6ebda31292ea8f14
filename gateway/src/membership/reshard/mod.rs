//! An index gets another number of shards while it is read and written.
//!
//! `phases` says what each phase of an operation does: `shadow` makes further copies, the twin, which get every write
//! from then on; `backfill` fills them; `verify` compares both and repairs; `cutover` has them serve in one commit;
//! `kept` drops what served before once its time is over. `forecast` says what it will cost.
//!
//! Invariants: the copies that serve are right, and the others follow; both get every write until one of them is
//! dropped, so that either can serve; nothing is dropped while somebody may still read it.

mod backfill;
pub(crate) mod copies;
mod cutover;
pub(crate) mod forecast;
pub(crate) mod kept;
pub(crate) mod phases;
mod registry;
mod restamp;
mod shadow;
mod verify;
