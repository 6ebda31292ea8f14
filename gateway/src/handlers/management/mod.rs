//! What operators change through the management API under `/_miroir/`.
//!
//! Invariant: a refused request changes nothing.

pub(crate) mod aliases;
pub(crate) mod audit;
pub(crate) mod backups;
pub(crate) mod canaries;
pub(crate) mod diagnosis;
pub(crate) mod openapi;
mod openapi_answers;
pub(crate) mod operations;
pub(crate) mod operator;
pub(crate) mod page_secrets;
pub(crate) mod reshards;
pub(crate) mod restore;
pub(crate) mod shadow;
pub(crate) mod tenants;
pub(crate) mod topology_changes;
pub(crate) mod ttl;
pub(crate) mod writes;
