//! Where a node is reached.

use std::net::SocketAddr;

use crate::wire::tls::NodeTls;

/// Where a node is reached; position as in the topology.
#[derive(Debug, Clone)]
pub struct NodeAddress {
    pub id: String,
    pub address: SocketAddr,
    /// Value of the `Host` header.
    pub host: String,
    /// `None`: plain HTTP.
    pub tls: Option<NodeTls>,
}
