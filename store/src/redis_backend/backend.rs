//! The state that the store's thread keeps of one Redis, and its creation. `change_feed`, `reads` and `worker` act on
//! it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::InfoKind;
use fred::types::config::Server;
use tokio::sync::Mutex;
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

use super::FORMAT_VERSION;
use super::scripts::{Scripts, failure, number, strange, text};
use crate::change_ring::ChangeLog;
use crate::limits::REDIS_UID_GAP;
use crate::redis_backend::task_mirror::TaskMirror;
use crate::{Clock, StoreError};

pub(super) struct Backend {
    pub(super) scripts: Scripts,
    pub(super) clock: Option<Clock>,
    pub(super) epoch: RefCell<String>,
    pub(super) mirror: RefCell<TaskMirror>,
    pub(super) following: Mutex<()>,
    pub(super) changes: RefCell<ChangeLog>,
    /// Announces new connections. The server behind one may have other data: it lost its last second, or a replica
    /// became the master.
    pub(super) connections: RefCell<Receiver<Server>>,
    pub(super) is_doubtful: Cell<bool>,
    /// The run id of the server that everything was read from.
    pub(super) server: RefCell<String>,
    /// Whether the last group of writes found Redis out of reach.
    pub(super) unreachable: Cell<bool>,
}

impl Backend {
    /// Knows no data yet. No store has the empty epoch, so the first catch-up reads everything.
    pub(super) fn new(client: Client, prefix: String, replicas: u32, clock: Option<Clock>) -> Backend {
        Backend {
            connections: RefCell::new(client.reconnect_rx()),
            is_doubtful: Cell::new(true),
            server: RefCell::default(),
            scripts: Scripts::new(client, prefix, replicas),
            clock,
            epoch: RefCell::default(),
            mirror: RefCell::default(),
            following: Mutex::new(()),
            changes: RefCell::default(),
            unreachable: Cell::new(false),
        }
    }

    /// The run id of the answering server when a new connection may have reached another one; `None` when it is the
    /// same.
    pub(super) async fn other_server(&self) -> Result<Option<String>, StoreError> {
        while !matches!(
            self.connections.borrow_mut().try_recv(),
            Err(TryRecvError::Empty | TryRecvError::Closed)
        ) {
            self.is_doubtful.set(true);
        }
        if !self.is_doubtful.get() {
            return Ok(None);
        }
        let client = &self.scripts.client;
        let about: String = client.info(Some(InfoKind::Server)).await.map_err(|error| failure(&error))?;
        let run = about.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default().trim();
        // In a cluster any of the servers may answer, so its run id proves nothing.
        if run == *self.server.borrow() && !client.is_clustered() {
            self.is_doubtful.set(false);
            return Ok(None);
        }
        Ok(Some(run.to_owned()))
    }

    /// The time by the given clock, or else by Redis.
    pub(super) async fn now(&self) -> Result<Duration, StoreError> {
        match &self.clock {
            Some(clock) => Ok(clock()),
            None => Ok(self.scripts.read(vec!["time".into()]).await?.now),
        }
    }
}

/// Creates the store if there is none. Returns its epoch and version.
pub(super) async fn make(scripts: &Scripts, task_uid_least: u32) -> Result<(String, u64), StoreError> {
    let fresh = format!("{:x}{:x}", std::process::id(), random());
    let arguments =
        [FORMAT_VERSION.to_string(), fresh, task_uid_least.to_string(), REDIS_UID_GAP.to_string()];
    let arguments = arguments.into_iter().map(fred::types::Value::from).collect();
    let mut values = scripts.open(arguments).await?.into_iter();
    let mut next = || values.next().ok_or_else(strange);
    let (kind, found) = (text(next()?)?, text(next()?)?);
    if kind == "format" {
        return Err(StoreError::Io(format!(
            "written in format {found}, this build reads formats up to {FORMAT_VERSION}; start the release that wrote it, or a newer one"
        )));
    }
    Ok((found, number(next()?)?))
}

/// Random enough to tell two stores apart, not for secrets.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
