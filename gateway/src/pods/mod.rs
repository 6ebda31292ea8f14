//! Several gateways over one store: election, leases, jobs, and following what others change.
//!
//! Invariant: what a pod writes under a lease carries the lease's fencing token. May touch: `state`, `nodes`, `auth`,
//! `api` and lower floors.

pub mod election;
pub mod follow;
pub mod job_claim;
pub(crate) mod leases;
pub mod peers;
