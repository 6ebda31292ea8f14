//! The one way merging fails: a leg's answer cannot be used.
//!
//! The gateway decides what follows (ask another owner, or fail the request); nothing is guessed here.

/// Why no merged answer exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The answer of leg `leg` (its index in covering-set order) is not JSON, is cut short, has the wrong
    /// shape, or its ranking details are missing or contradict its own order or the other legs'.
    #[error("the answer of leg {leg} cannot be merged: {reason}")]
    Leg { leg: usize, reason: String },
    /// The hits that a leg was asked for are used up, and the page needs more of them: ask deeper.
    #[error("the legs were not asked deep enough")]
    Short,
    /// A hit with several distinct values was left out, which may have hidden others of its leg: the legs must be
    /// asked for all hits, whatever they share.
    #[error("the legs left out hits that one node would give")]
    Entangled,
}

/// A fault found where the leg's number is not known.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) String);

impl Fault {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    pub(crate) fn at(self, leg: usize) -> MergeError {
        MergeError::Leg { leg, reason: self.0 }
    }
}
