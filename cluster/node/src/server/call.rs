//! One request as a handler sees it, and its answer.
//! Invariant: a handler is a plain function from a call to a reply; its caller handles sockets, bodies and faults.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::errors::ApiError;
use crate::names;
use crate::node::Node;
use crate::tasks::Task;
use crate::wire;

/// A handler.
pub(super) type Handler = fn(&Call) -> Result<Reply, ApiError>;

/// A request with its complete body, decompressed.
pub(super) struct Call {
    pub(super) node: Arc<Node>,
    /// Values of the path's placeholders, decoded, in order.
    pub(super) path: Vec<String>,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// JSON; empty for 204.
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// 200 with this JSON.
    pub(super) fn ok(value: &impl Serialize) -> Result<Self, ApiError> {
        Self::json(200, value)
    }

    /// 202 with a task's summary.
    pub(super) fn accepted(task: &Task) -> Result<Self, ApiError> {
        Self::json(202, &task.summary())
    }

    pub(super) fn json(status: u16, value: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(value).map_err(|error| ApiError::new("internal", error.to_string()))?;
        Ok(Self { status, body })
    }
}

impl Call {
    /// The index uid of the path, which must be well formed.
    pub(super) fn index_uid(&self) -> Result<String, ApiError> {
        names::index_uid(&self.path[0])
    }

    /// The Content-Type header as text.
    pub(super) fn content_type(&self) -> Option<&str> {
        self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, ApiError> {
        wire::body(self.content_type(), &self.body)
    }
}
