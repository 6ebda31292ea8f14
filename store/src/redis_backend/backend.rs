//! What the store's thread holds of one Redis, and how it is begun. What it does is in `follow`, `reads` and `worker`.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use fred::clients::Client;
use tokio::sync::Mutex;

use super::FORMAT_VERSION;
use super::followed::Followed;
use super::scripts::{Scripts, number, strange, text};
use crate::changelog::ChangeLog;
use crate::limits::REDIS_UID_GAP;
use crate::{Clock, StoreError};

pub(super) struct Backend {
    pub(super) scripts: Scripts,
    pub(super) clock: Option<Clock>,
    pub(super) epoch: RefCell<String>,
    pub(super) followed: RefCell<Followed>,
    pub(super) following: Mutex<()>,
    pub(super) changes: RefCell<ChangeLog>,
    /// The last command found Redis out of reach.
    pub(super) unreachable: Cell<bool>,
}

impl Backend {
    /// Knows nothing yet; no store has the empty epoch, so to catch up reads everything.
    pub(super) fn new(client: Client, prefix: String, clock: Option<Clock>) -> Backend {
        Backend {
            scripts: Scripts::new(client, prefix),
            clock,
            epoch: RefCell::default(),
            followed: RefCell::default(),
            following: Mutex::new(()),
            changes: RefCell::default(),
            unreachable: Cell::new(false),
        }
    }

    /// Redis's time, or that of the clock given.
    pub(super) async fn now(&self) -> Result<Duration, StoreError> {
        match &self.clock {
            Some(clock) => Ok(clock()),
            None => Ok(self.scripts.read(vec!["time".into()]).await?.now),
        }
    }
}

/// Makes the store if there is none; answers its epoch and version.
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
            "written in format {found}, this build reads formats up to {FORMAT_VERSION}"
        )));
    }
    Ok((found, number(next()?)?))
}

/// Random enough to tell two stores apart.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
