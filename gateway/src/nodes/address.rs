//! The address of a node.

use std::net::SocketAddr;

use crate::wire::tls::NodeTls;

/// The address of one node; its position is that in the topology.
#[derive(Debug, Clone)]
pub struct NodeAddress {
    pub id: String,
    pub address: SocketAddr,
    /// Value of the `Host` header.
    pub host: String,
    /// `None`: plain HTTP.
    pub tls: Option<NodeTls>,
}
