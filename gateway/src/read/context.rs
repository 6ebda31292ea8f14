//! What every step of a search of one index needs to know.
//!
//! Invariant: all of it is taken once, before a search is planned; a step that asks something else than the client
//! takes the same context with another request.

use crate::{
    api::search::request::SearchRequest,
    state::{
        core::Core,
        snapshot::{Index, Snapshot},
    },
};

/// The core that serves, the cluster and the index as they were when the search began, and what is asked.
#[derive(Clone, Copy)]
pub(crate) struct ReadContext<'r> {
    pub(crate) core: &'r Core,
    pub(crate) snapshot: &'r Snapshot,
    pub(crate) index: &'r Index,
    pub(crate) search: &'r SearchRequest<'r>,
}

impl<'r> ReadContext<'r> {
    /// The same context with another request.
    pub(crate) fn with(self, search: &'r SearchRequest<'r>) -> Self {
        Self { search, ..self }
    }
}
