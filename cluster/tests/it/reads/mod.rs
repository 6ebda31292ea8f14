//! What clients read through a cluster.

pub(crate) mod aliases;
pub(crate) mod blue_green;
pub(crate) mod canaries;
pub(crate) mod coalescing;
pub(crate) mod corpus;
pub(crate) mod differential;
pub(crate) mod documents;
pub(crate) mod explain;
pub(crate) mod hedging;
mod like_one_node;
pub(crate) mod multi_search;
pub(crate) mod planning;
pub(crate) mod queries;
pub(crate) mod sdk;
pub(crate) mod shadow;
pub(crate) mod similar;
pub(crate) mod tenant_affinity;
pub(crate) mod ttl;
pub(crate) mod ttl_races;
mod unlike_shards;
