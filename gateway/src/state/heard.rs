//! A search that was answered, as those hear it who copy or capture searches.
//!
//! Invariant: it is made only where somebody listens, and handed on only after the client has its answer.

use std::time::Duration;

use bytes::Bytes;
use crossbeam::channel::{Receiver, Sender, bounded};

use crate::config::limits;

/// One answered search.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The index as the client named it.
    pub index: String,
    /// The field that identifies its documents.
    pub primary_key: Option<String>,
    /// The body of the search: a JSON object.
    pub body: Bytes,
    /// The filter that the client's token adds, as raw JSON.
    pub rules: Option<String>,
    /// The answer's JSON body.
    pub answer: Bytes,
    /// How long the client waited for it.
    pub took: Duration,
}

impl Heard {
    /// The memory that it holds, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body.len() + self.answer.len() + self.rules.as_ref().map_or(0, String::len)
    }
}

/// A request to make canaries of the next searches of an index.
#[derive(Debug)]
pub struct Capture {
    pub index: String,
    /// How many canaries to make.
    pub count: usize,
    pub name_prefix: String,
    queue: (Sender<Heard>, Receiver<Heard>),
}

impl Capture {
    #[must_use]
    pub fn new(index: String, count: usize, name_prefix: String) -> Self {
        Self { index, count, name_prefix, queue: bounded(limits::CAPTURE_QUEUE_LENGTH_MAX) }
    }

    /// Whether a search is one of those that it wants. A search under a token's filter is not: a canary has no token.
    #[must_use]
    pub fn wants(&self, heard: &Heard) -> bool {
        heard.index == self.index
            && heard.rules.is_none()
            && heard.answer.len() <= limits::CAPTURE_ANSWER_BYTES_MAX
    }

    /// Hands a search over; one that finds the queue full is not captured.
    pub fn offer(&self, heard: Heard) {
        let _ = self.queue.0.try_send(heard);
    }

    /// The next search that was handed over.
    #[must_use]
    pub fn take(&self) -> Option<Heard> {
        self.queue.1.try_recv().ok()
    }
}
