//! What `miroir-dev` adds to a cluster: a Redis for several pods, certificates, and load that makes it live.
//!
//! Invariant: all of it ends with `miroir-dev`, however that ends.

pub mod certificate;
pub mod load;
pub mod redis;
