//! The cases of the comparison: what clients request, what the legs answer, and how many clients there are.

use crate::corpus::Shape;

/// What clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A search for as many hits as each leg has.
    Search,
    /// A write of this many documents.
    Write { documents: usize },
}

/// One case; each run of it adds one line to the history.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Legs x hits (x bytes of a document), the special property, then connections.
    pub name: &'static str,
    pub shape: Shape,
    pub asked: Asked,
    /// Client connections, each with one request in flight.
    pub connections: usize,
    /// The number of copies of each shard behind the gateway.
    pub copies: usize,
    /// The number of cores of the gateway.
    pub cores: usize,
    /// Whether clients speak TLS.
    pub tls: bool,
    /// Additional arguments of the gateway.
    pub gateway: &'static [&'static str],
}

/// The load sends identical requests only; this makes the gateway work on each of them.
const EACH_ON_ITS_OWN: &[&str] = &["--query-coalescing", "off"];
const COALESCED: &[&str] = &["--query-coalescing", "on"];
const BARE: &[&str] = &["--query-coalescing", "off", "--hedging", "off", "--adaptive-selection", "off"];
/// What capabilities cost that are off by default, against the plain case of as many connections.
const TENANTS: &[&str] = &["--query-coalescing", "off", "--tenant-affinity", "header"];
/// Nobody listens there, so that nothing but the gateway's own work is measured.
const SHADOWED: &[&str] = &[
    "--query-coalescing",
    "off",
    "--allowed-ip-networks",
    "127.0.0.0/8",
    "--shadow",
    "name=none,url=http://127.0.0.1:9",
];
/// All connections come from one address, so its limit has to be higher.
const MANY: &[&str] = &["--query-coalescing", "off", "--connections-per-address-max", "12000"];

/// All cases, the simplest first.
pub const CASES: [Case; 19] = [
    search("3x20-c1", 3, 20, 1),
    search("3x20-c4", 3, 20, 4),
    search("3x20-c32", 3, 20, 32),
    search("3x20-c64", 3, 20, 64),
    search("3x20-c128", 3, 20, 128),
    search("3x20-c1024", 3, 20, 1024),
    Case { tls: true, ..search("3x20-tls-c64", 3, 20, 64) },
    search("1x20-c32", 1, 20, 32),
    search("8x20-c32", 8, 20, 32),
    search("3x200-c32", 3, 200, 32),
    Case {
        shape: Shape { legs: 3, hits: 20, document_bytes: 20_000 },
        ..search("3x20x20000-c32", 3, 20, 32)
    },
    Case { copies: 2, ..search("3x20-copies2-c64", 3, 20, 64) },
    Case { gateway: BARE, ..search("3x20-unhedged-c64", 3, 20, 64) },
    Case { gateway: TENANTS, ..search("3x20-tenants-c64", 3, 20, 64) },
    Case { gateway: SHADOWED, ..search("3x20-shadowed-c64", 3, 20, 64) },
    Case { gateway: COALESCED, ..search("3x20-coalesced-c64", 3, 20, 64) },
    write("write1-c64", 1, 64),
    write("write1000-c4", 1000, 4),
    Case { copies: 2, ..write("write1000-copies2-c4", 1000, 4) },
];

impl Case {
    /// Whether one of `names` is part of the case's name, or `names` is empty.
    pub(super) fn is_chosen(&self, names: &[String]) -> bool {
        names.is_empty() || names.iter().any(|name| self.name.contains(name.as_str()))
    }

    pub(super) fn is_search(&self) -> bool {
        self.asked == Asked::Search
    }
}

const fn search(name: &'static str, legs: usize, hits: usize, connections: usize) -> Case {
    let shape = Shape { legs, hits, document_bytes: 200 };
    Case {
        name,
        shape,
        asked: Asked::Search,
        connections,
        copies: 1,
        cores: 1,
        tls: false,
        gateway: EACH_ON_ITS_OWN,
    }
}

/// Large answers, so that the gateway's core is saturated before the load's.
pub(super) const fn overload(connections: usize) -> Case {
    Case { gateway: MANY, ..search("overload", 3, 200, connections) }
}

/// Plain searches by a gateway of `cores` cores.
pub(super) const fn scale(cores: usize) -> Case {
    Case { cores, ..search("scale", 3, 20, 64) }
}

/// Plain searches over any number of connections.
pub(super) const fn crowd(connections: usize) -> Case {
    Case { gateway: MANY, ..search("crowd", 3, 20, connections) }
}

const fn write(name: &'static str, documents: usize, connections: usize) -> Case {
    Case { asked: Asked::Write { documents }, ..search(name, 3, 20, connections) }
}
