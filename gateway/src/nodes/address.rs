//! The address of a node.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    ops::Index,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustls::pki_types::ServerName;

use crate::{
    config::{NodeUrl, TlsConfig},
    nodes::slots::Slots,
    wire::tls::{self, NodeTls},
};

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

impl NodeAddress {
    /// Looks a node up, which may take as long as the system's resolver does.
    ///
    /// # Errors
    /// What is wrong with its URL.
    pub fn resolve(id: &str, url: &NodeUrl, tls: &TlsConfig) -> Result<Self, String> {
        let found = (url.host.as_str(), url.port).to_socket_addrs().ok();
        let address = found.and_then(|mut addresses| addresses.next()).ok_or_else(|| {
            format!("{id}={url}: the host cannot be resolved; allowed: a host or address this machine knows")
        })?;
        let tls = match url.tls {
            false => None,
            true => {
                let failed = |error: String| format!("{id}={url}: {error}");
                let client = tls::client(tls).map_err(|error| failed(format!("{error:#}")))?;
                let name = ServerName::try_from(url.host.clone());
                Some(NodeTls { config: client, name: name.map_err(|error| failed(error.to_string()))? })
            }
        };
        Ok(Self { id: id.to_owned(), address, host: url.authority(), tls })
    }

    /// Of a node that nothing is asked of any more.
    #[must_use]
    pub fn nowhere(id: &str) -> Self {
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        Self { id: id.to_owned(), address, host: String::new(), tls: None }
    }
}

/// The addresses of all nodes.
pub struct Addresses {
    slots: Slots<OnceLock<NodeAddress>>,
    count: AtomicUsize,
}

impl Addresses {
    /// In the order of the topology.
    #[must_use]
    pub fn new(nodes: Vec<NodeAddress>) -> Self {
        let addresses = Self { slots: Slots::new(nodes.len()), count: AtomicUsize::new(0) };
        nodes.into_iter().enumerate().for_each(|(position, node)| addresses.put(position, node));
        addresses
    }

    /// Adds the node that stands at a position; those before it are there. One that is there stays.
    pub fn put(&self, position: usize, node: NodeAddress) {
        let _ = self.slots.at(position).set(node);
        self.count.fetch_max(position + 1, Ordering::AcqRel);
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &NodeAddress> {
        (0..self.len()).filter_map(|position| self.slots.at(position).get())
    }
}

impl Index<usize> for Addresses {
    type Output = NodeAddress;

    fn index(&self, position: usize) -> &NodeAddress {
        self.slots.at(position).get().expect("a node has its address before a topology names it")
    }
}
