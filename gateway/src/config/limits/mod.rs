//! Every queue, pool and timeout of the gateway has its bound here, and nowhere else.
//!
//! Invariants: what one bound presumes of another is asserted at compile time, beside the bounds that it relates.
//! Defaults that an option can change are named `..._DEFAULT`, with the option's range beside them. A file has the
//! bounds of one room; this one has those of the cluster and of the process.

use std::time::Duration;

mod backup;
mod client;
mod console;
mod data;
mod management;
mod node;
mod pods;
mod read;
mod repair;
mod search_page;
mod tasks;
mod topology;
mod traces;
mod traffic;
mod write;

pub use {
    backup::*, client::*, console::*, data::*, management::*, node::*, pods::*, read::*, repair::*,
    search_page::*, tasks::*, topology::*, traces::*, traffic::*, write::*,
};

/// How often a port that is in use is tried at the start, and the pause between tries: two seconds in all.
pub const PORT_TRIES_MAX: u32 = 21;
pub const PORT_WAIT: Duration = Duration::from_millis(100);
/// Connections that wait in the queue of a core's socket until it accepts them; the system's `somaxconn` may cut it.
pub const LISTEN_QUEUE_MAX: i32 = 1024;
/// The largest process id that Linux gives out.
pub const PROCESS_ID_MAX: i32 = 1 << 22;
/// How long a gateway that hands its port over waits for idle connections before it closes its store, which its
/// successor needs.
pub const HAND_OVER_IDLE_MAX: Duration = Duration::from_millis(300);
/// How long a successor waits, beyond the drain, until the other process has ended.
pub const HAND_OVER_END_MAX: Duration = Duration::from_secs(20);
/// How long a process that starts waits until every shard has a node that serves, and how often it looks.
pub const START_COVER_MAX: Duration = Duration::from_secs(5);
pub const START_COVER_PAUSE: Duration = Duration::from_millis(2);
/// How often executors give a sign of life for each time that a watchdog looks.
pub const HEARTBEATS_PER_LOOK: u32 = 4;
/// Nodes of a cluster.
pub const NODES_MAX: usize = 4096;
/// Bytes of a node's id.
pub const NODE_ID_BYTES_MAX: usize = 64;
/// Group numbers are below this.
pub const GROUPS_MAX: u16 = 64;
/// A node's weight among the nodes of its group.
pub const CAPACITY_DEFAULT: f64 = 1.0;
pub const CAPACITY_MIN: f64 = 0.001;
pub const CAPACITY_MAX: f64 = 1000.0;
/// Shards of a new index.
pub const SHARDS_DEFAULT: u32 = 64;
pub const SHARDS_MAX: u32 = 65_536;
/// Copies of each shard in a group.
pub const REPLICATION_FACTOR_DEFAULT: u16 = 1;

/// Data cores of one process.
pub const CORES_MAX: usize = 1024;
/// The time between two clean-ups of recorded histograms; without them samples pile up.
pub const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

const _: () = {
    assert!(NODES_MAX < u16::MAX as usize);
    assert!(SHARDS_DEFAULT <= SHARDS_MAX);
};
