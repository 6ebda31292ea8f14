//! Fault switches: how a test makes a node misbehave.
//! Invariants: only the control port sets them. With none set, a request costs one relaxed load. `POST /faults`
//! replaces the whole set; `DELETE /faults` clears it and releases hanging requests.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

const POISON: &str = "a holder of the lock panicked, so the switches cannot be trusted";

/// One set of faults; the JSON body of `POST /faults`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Only requests whose path begins with this are delayed, hung, reset, cut or failed; empty means all.
    pub path_prefix: String,
    /// Milliseconds before a request is processed.
    pub delay_ms: u64,
    /// Milliseconds for which a finished answer is held back; its content is that old when it arrives.
    pub answer_delay_ms: u64,
    /// Requests are read and not answered until the switches change.
    pub hang: bool,
    /// New connections are closed as soon as they are accepted.
    pub refuse: bool,
    /// Connections are reset when a request arrives on them.
    pub reset: bool,
    /// Bytes of a body after which the connection ends.
    pub cut_body_bytes: Option<u64>,
    /// Answers arrive complete but with wrong content.
    pub distort: Option<Distortion>,
    /// Answered with this status, e.g. 503, instead of being processed.
    pub status: Option<u16>,
    /// The number of requests to which `status` applies.
    pub status_requests: u64,
    /// The scheduler starts no further batch.
    pub stall_tasks: bool,
    /// The number of writes that are acknowledged, reported as succeeded, and lost.
    pub drop_next_writes: u64,
    /// Milliseconds added to the node's clock; may be negative.
    pub clock_skew_ms: i64,
}

/// How a good answer is distorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distortion {
    /// It is not JSON.
    NotJson,
    /// It ends halfway.
    Half,
    /// Its lists are not lists.
    OtherShape,
    /// Its hits come in reverse order.
    Reversed,
}

impl Distortion {
    /// The body that replaces `body`.
    pub(crate) fn of(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::NotJson => b"<html>busy</html>".to_vec(),
            Self::Half => body[..body.len() / 2].to_vec(),
            Self::OtherShape => br#"{"hits":7,"results":7,"facetHits":7}"#.to_vec(),
            Self::Reversed => {
                let mut answer = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
                if let Some(hits) = answer.get_mut("hits").and_then(serde_json::Value::as_array_mut) {
                    hits.reverse();
                }
                answer.to_string().into_bytes()
            }
        }
    }
}

/// The switches as the server reads them.
#[derive(Debug)]
pub(crate) struct FaultSwitches {
    armed: AtomicBool,
    current: RwLock<Arc<Faults>>,
    status_left: AtomicU64,
    drops_left: AtomicU64,
    changes: watch::Sender<u64>,
}

impl Default for FaultSwitches {
    fn default() -> Self {
        Self {
            armed: AtomicBool::new(false),
            current: RwLock::default(),
            status_left: AtomicU64::new(0),
            drops_left: AtomicU64::new(0),
            changes: watch::Sender::new(0),
        }
    }
}

impl FaultSwitches {
    /// Activates a set.
    pub(crate) fn set(&self, faults: Faults) {
        self.status_left.store(faults.status_requests, Ordering::SeqCst);
        self.drops_left.store(faults.drop_next_writes, Ordering::SeqCst);
        let armed = faults != Faults::default();
        *self.current.write().expect(POISON) = Arc::new(faults);
        self.armed.store(armed, Ordering::SeqCst);
        self.changes.send_modify(|change| *change += 1);
    }

    /// The active set, if any. A healthy request reads nothing else.
    pub(crate) fn armed(&self) -> Option<Arc<Faults>> {
        self.armed.load(Ordering::Relaxed).then(|| self.current())
    }

    /// The active set.
    pub(crate) fn current(&self) -> Arc<Faults> {
        Arc::clone(&self.current.read().expect(POISON))
    }

    /// Waits until requests must not hang; returns immediately if none have to.
    pub(crate) async fn hang(&self) {
        let mut changes = self.changes.subscribe();
        while self.current().hang {
            // An error would mean that the sender is gone, but `self` owns it.
            let _ = changes.changed().await;
        }
    }

    /// Consumes one request of `status`.
    pub(crate) fn takes_a_status(&self) -> bool {
        take(&self.status_left)
    }

    /// Consumes one write to lose.
    pub(crate) fn takes_a_drop(&self) -> bool {
        self.armed.load(Ordering::Relaxed) && take(&self.drops_left)
    }
}

fn take(left: &AtomicU64) -> bool {
    left.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}
