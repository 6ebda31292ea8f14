//! The documents of an index page by page, each once, with their vectors and without reserved fields.
//!
//! Invariants: the caller holds the lane of the index, for pages are counted from the start of each leg. What was
//! given cannot be taken back, so another owner is asked only before the first page of a leg.

use http::StatusCode;
use router::{Leg, NodeIndex};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    api::error::{ApiError, Code},
    config::limits,
    nodes::pool::NodeRequest,
    read::{expiry, plan},
    state::{
        core::Core,
        snapshot::{Index, Snapshot},
    },
};

/// The end of a document without vectors.
const NO_VECTORS: &[u8] = b",\"_vectors\":{}}";

/// What is left to read of an index.
pub(super) struct Pages<'a> {
    core: &'a Core,
    snapshot: &'a Snapshot,
    index: &'a Index,
    /// Conditions of the caller, all of which hold for what is read.
    conditions: Vec<Value>,
    legs: Vec<Leg>,
    /// Documents of the last leg that were given already.
    offset: usize,
    avoided: Vec<NodeIndex>,
}

impl<'a> Pages<'a> {
    /// Begins with the first page; a filter is one as clients write it.
    ///
    /// # Errors
    /// 503 when there is a shard that no node serves.
    pub(super) fn new(
        core: &'a Core,
        snapshot: &'a Snapshot,
        index: &'a Index,
        filter: Option<&Value>,
    ) -> Result<Self, ApiError> {
        let conditions = match filter {
            None => Vec::new(),
            Some(Value::Array(conditions)) => conditions.clone(),
            Some(one) => vec![one.clone()],
        };
        let set = plan::cover(core, snapshot, index, None, &[], core.turn());
        match set.uncovered.is_empty() {
            true => {
                Ok(Self { core, snapshot, index, conditions, legs: set.legs, offset: 0, avoided: Vec::new() })
            }
            false => Err(unavailable()),
        }
    }

    /// The next page as lines, and how many documents it has; `None` after the last.
    ///
    /// # Errors
    /// 503 when a leg's documents cannot be read; a node's refusal of the filter.
    pub(super) async fn next(&mut self) -> Result<Option<(Vec<u8>, usize)>, ApiError> {
        while let Some(leg) = self.legs.last() {
            match self.page(leg).await {
                Ok(Some((lines, count))) => {
                    self.offset += count;
                    return Ok(Some((lines, count)));
                }
                Ok(None) => {
                    self.legs.pop();
                    self.offset = 0;
                }
                Err(error) if error.status().is_client_error() => return Err(error),
                Err(_) if self.offset == 0 && self.avoided.len() < limits::SCATTER_ATTEMPTS_MAX => {
                    let Some(leg) = self.legs.pop() else { break };
                    self.avoided.push(leg.node);
                    let (core, turn) = (self.core, self.core.turn());
                    let rest =
                        plan::cover(core, self.snapshot, self.index, Some(&leg.shards), &self.avoided, turn);
                    if !rest.uncovered.is_empty() {
                        return Err(unavailable());
                    }
                    self.legs.extend(rest.legs);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn page(&self, leg: &Leg) -> Result<Option<(Vec<u8>, usize)>, ApiError> {
        let target = format!("/indexes/{}/documents/fetch", self.index.record.node_uid);
        let mut conditions = self.conditions.clone();
        conditions.extend((!leg.whole_node).then(|| json!(router::shard_filter(&leg.shards))));
        // Stamps are not passed on, so an expired document would come back for ever.
        conditions.extend(expiry::filter_of(self.core, self.index).map(|not_ended| json!(not_ended)));
        let mut body = json!({
            "offset": self.offset, "limit": limits::DOCUMENTS_PER_DUMP_READ, "retrieveVectors": true,
        });
        if !conditions.is_empty() {
            body["filter"] = Value::Array(conditions);
        }
        let question = NodeRequest::post_json(&target, body.to_string());
        let answer = self.core.pools.ask(leg.node, question, self.core.shared.config.node_timeout).await;
        let answer = match answer {
            Ok(answer) if answer.status == StatusCode::OK => answer,
            Ok(answer) if answer.status == StatusCode::BAD_REQUEST => {
                return Err(ApiError::from_node(answer.status, &answer.body));
            }
            Ok(_) | Err(_) => return Err(unavailable()),
        };
        let page = serde_json::from_slice::<Page<'_>>(&answer.body).map_err(|_| unavailable())?;
        let mut lines = Vec::with_capacity(answer.body.len());
        for document in &page.results {
            merge::strip_document(document.get().as_bytes(), &mut lines).map_err(|_| unavailable())?;
            // Nodes write this into every document of an index without embedders.
            if lines.ends_with(NO_VECTORS) {
                lines.truncate(lines.len() - NO_VECTORS.len());
                lines.push(b'}');
            }
            lines.push(b'\n');
        }
        Ok((!page.results.is_empty()).then_some((lines, page.results.len())))
    }
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

fn unavailable() -> ApiError {
    ApiError::new(Code::MiroirShardUnavailable, "Not all documents could be read.")
}
