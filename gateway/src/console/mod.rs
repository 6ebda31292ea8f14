//! The server side of the admin console: who is signed in, how often an address may try to, and what an open console
//! is told.
//!
//! Invariants: a session counts only while its record is in the store, so that a logout on one pod holds on all. What
//! an open console is told is bounded: one value a topic, one ring of metrics. Nothing here knows a route.

pub mod live;
pub mod login_limit;
pub mod metric_history;
pub mod seal;
pub mod sessions;

use arc_swap::ArcSwap;

use crate::{
    config::Secret,
    console::{
        live::Live,
        metric_history::History,
        seal::{Seal, SealError},
    },
};

/// What all cores of one process share for the console.
pub struct Console {
    pub seal: Seal,
    pub live: Live,
    /// Replaced with every new point.
    pub history: ArcSwap<History>,
}

impl Console {
    /// Makes the console's state; without a secret it seals with a key of its own, which no other pod has.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(secret: Option<&Secret>) -> Result<Self, SealError> {
        Ok(Self { seal: Seal::new(secret)?, live: Live::default(), history: ArcSwap::default() })
    }
}
