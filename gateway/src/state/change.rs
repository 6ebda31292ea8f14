//! A change of an index on its way to its lane, and its outcome.
//!
//! Invariant: plain values; `write::lane`, `write::apply` and `write::batch` act on them.

use std::sync::Arc;

use bytes::Bytes;
use futures_channel::oneshot;
use http::Method;
use router::{NodeIndex, Placement, ShardSet};
use serde_json::Value;
use store::{NewTask, NodeTask, TaskRecord};
use tokio::sync::mpsc;

use crate::{
    api::{
        documents::payload::{ParsedPayload, StampedBody},
        error::ApiError,
        settings::SettingsChange,
    },
    auth::Permission,
    config::limits,
    observe::spans::Elsewhere,
};

/// Sends changes to the lanes of one core, from any thread.
pub type LaneSender = mpsc::Sender<Job>;
/// Receives the changes for one core's lanes.
pub type LaneInbox = mpsc::Receiver<Job>;

/// Work for the lane of one index.
pub struct Job {
    pub(crate) index_uid: String,
    pub(crate) work: Work,
}

pub(crate) enum Work {
    Change {
        task: Box<NewTask>,
        action: Action,
        reply: Client,
    },
    /// Stops the lane: the lane sends a `LaneGuard`, and goes on once that is dropped.
    Stop {
        stopped: oneshot::Sender<LaneGuard>,
    },
}

/// Sends the outcome of a change to its client, and knows the client's trace.
pub(crate) struct Client {
    reply: oneshot::Sender<Result<Accepted, ApiError>>,
    traced: Option<Arc<Elsewhere>>,
}

impl Client {
    /// A client, and where its outcome comes out.
    pub(crate) fn new(
        traced: Option<Arc<Elsewhere>>,
    ) -> (Self, oneshot::Receiver<Result<Accepted, ApiError>>) {
        let (reply, outcome) = oneshot::channel();
        (Self { reply, traced }, outcome)
    }

    /// Tells the client, if it still waits.
    pub(crate) fn send(self, outcome: Result<Accepted, ApiError>) {
        let _ = self.reply.send(outcome);
    }

    /// The part of the client's trace that its lane does, if the client is traced.
    pub(crate) fn traced(&self) -> Option<&Arc<Elsewhere>> {
        self.traced.as_ref()
    }
}

/// An accepted change, and the value of `X-Miroir-Degraded` when copies missed it.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) record: TaskRecord,
    pub(crate) degraded: Option<String>,
}

/// Locks a lane: no change of its index is under way until this is dropped.
#[must_use = "a lane goes on when its guard is dropped"]
pub(crate) struct LaneGuard {
    pub(crate) _released_on_drop: oneshot::Sender<()>,
}

/// Makes the channel of one core's lanes.
#[must_use]
pub fn channel() -> (LaneSender, LaneInbox) {
    mpsc::channel(limits::LANE_QUEUE_LENGTH_MAX)
}

/// The kinds of change.
pub(crate) enum Action {
    /// Adds or updates documents; creates the index when it is missing.
    AddDocuments(DocumentWrite),
    /// Deletes documents by id.
    DeleteDocuments {
        parts: Vec<NodePart>,
        /// What the parts were cut for.
        cut_for: Arc<Placement>,
        /// The same for the index's twin, if it has one.
        twin: Option<Cut<NodePart>>,
    },
    /// The same request to every node: delete by filter, delete all, edit by function.
    OnEveryNode {
        method: Method,
        suffix: &'static str,
        body: Bytes,
        repetition: Repetition,
    },
    CreateIndex {
        primary_key: Option<String>,
    },
    DeleteIndex,
    ChangeSettings(SettingsChange),
    /// A write whose documents are wrong; it becomes a failed task.
    Fail(ApiError),
    /// Another change, by a client that may not make the index.
    OnExisting(Box<Action>),
}

/// What happens to a request to every node when a node misses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repetition {
    /// The node gets it when it is back, and may do it twice.
    Harmless,
    /// The node gets it when it is back, unless it may have done it.
    Never,
    /// The node need not get it.
    Unneeded,
}

impl Action {
    /// The change as a client with this permission may make it.
    pub(crate) fn within(self, permission: &Permission, uid: &str) -> Self {
        if permission.creates_index(uid) {
            return self;
        }
        self.on_existing()
    }
}

impl Action {
    /// Whether the end of the change's task changes the registry.
    pub(crate) fn changes_registry(&self) -> bool {
        match self {
            Self::ChangeSettings(_) => true,
            Self::OnExisting(action) => action.changes_registry(),
            Self::AddDocuments(_)
            | Self::DeleteDocuments { .. }
            | Self::OnEveryNode { .. }
            | Self::CreateIndex { .. }
            | Self::DeleteIndex
            | Self::Fail(_) => false,
        }
    }

    /// The change, which does nothing when the index does not exist.
    pub(crate) fn on_existing(self) -> Self {
        match self {
            Self::AddDocuments(write) => Self::AddDocuments(DocumentWrite { existing_only: true, ..write }),
            other @ (Self::DeleteDocuments { .. }
            | Self::OnEveryNode { .. }
            | Self::CreateIndex { .. }
            | Self::DeleteIndex
            | Self::ChangeSettings(_)
            | Self::Fail(_)
            | Self::OnExisting(_)) => Self::OnExisting(Box::new(other)),
        }
    }

    /// The documents that the change deletes, as far as it names them.
    pub(crate) fn erases(&self) -> Option<Erased> {
        match self {
            Self::DeleteDocuments { parts, .. } => {
                let lists = parts.iter().map(|part| serde_json::from_slice::<Vec<String>>(&part.body));
                let mut keys = lists.filter_map(Result::ok).flatten().collect::<Vec<_>>();
                keys.sort_unstable();
                keys.dedup();
                (!keys.is_empty()).then_some(Erased::Keys(keys))
            }
            Self::OnEveryNode { suffix: "/documents", .. } => Some(Erased::Matching(None)),
            Self::OnEveryNode { suffix: "/documents/delete", body, .. } => {
                let mut body: Value = serde_json::from_slice(body).ok()?;
                Some(Erased::Matching(Some(body.get_mut("filter")?.take())))
            }
            Self::OnExisting(action) => action.erases(),
            Self::OnEveryNode { .. }
            | Self::AddDocuments(_)
            | Self::CreateIndex { .. }
            | Self::DeleteIndex
            | Self::ChangeSettings(_)
            | Self::Fail(_) => None,
        }
    }
}

/// The outcome of a change.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The nodes have taken it; these are their tasks.
    Taken(Vec<NodeTask>),
    /// It is a task that has failed at once.
    Failed(ApiError),
    /// It is refused: the client gets the error and there is no task.
    Refused(ApiError),
}

/// One client's documents, checked and split by node.
pub(crate) struct DocumentWrite {
    pub(crate) primary_key: Option<String>,
    pub(crate) replace: bool,
    /// Whether documents that do not exist yet are skipped.
    pub(crate) skip_creation: bool,
    /// Whether the client may not make the index.
    pub(crate) existing_only: bool,
    pub(crate) parts: Vec<DocumentPart>,
    /// What the parts were cut for.
    pub(crate) cut_for: Arc<Placement>,
    /// The same for the index's twin, if it has one.
    pub(crate) twin: Option<Cut<DocumentPart>>,
    /// Whether every id is a plain key, by which filters can be read.
    pub(crate) keys_are_plain: bool,
    /// Whether the nodes may get it in one request with other writes.
    pub(crate) batchable: bool,
    /// The documents as the client sent them, when an engine might refuse one for a field that only it can judge.
    pub(crate) payload: Option<Arc<ParsedPayload>>,
    /// The same, and the index's number of shards, when the stream of changes tells of them.
    pub(crate) told: Option<(Arc<ParsedPayload>, u32)>,
}

/// What the stream of changes tells of one change of documents.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Draft {
    /// `add`, `update` or `delete`.
    pub(crate) operation: &'static str,
    /// The keys, each with its shard; none where a filter names the documents.
    pub(crate) keys: Vec<String>,
    pub(crate) shards: Vec<u32>,
    /// The filter that finds the documents; a null for all of them.
    pub(crate) filter: Option<Value>,
    /// The documents as lines, in the order of the keys, when somebody wants them.
    pub(crate) documents: Option<Vec<u8>>,
}

impl Draft {
    pub(crate) fn of(operation: &'static str) -> Self {
        Self { operation, ..Self::default() }
    }
}

/// A change cut into parts for the nodes of a placement.
pub(crate) struct Cut<Part> {
    pub(crate) parts: Vec<Part>,
    pub(crate) cut_for: Arc<Placement>,
}

/// The documents that one node gets.
pub(crate) struct DocumentPart {
    pub(crate) node: NodeIndex,
    pub(crate) body: StampedBody,
    pub(crate) shards: ShardSet,
}

/// One node's part of a change.
#[derive(Debug, Clone)]
pub(crate) struct NodePart {
    pub(crate) node: NodeIndex,
    pub(crate) body: Bytes,
    /// Documents or ids in the body.
    pub(crate) documents: u64,
    /// The shards that the part concerns.
    pub(crate) shards: ShardSet,
}

/// The documents that a deletion deletes.
#[derive(Debug, Clone, PartialEq)]
pub enum Erased {
    Keys(Vec<String>),
    /// The documents that a filter finds; `None` for all.
    Matching(Option<Value>),
}
