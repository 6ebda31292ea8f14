//! How merging fails: a leg's answer cannot be used, or the legs have to be asked for more.
//!
//! The gateway decides what to do about it (ask another owner, or fail the request).

/// Why no merged answer exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The answer of leg `leg` (its index in covering-set order) is not JSON, is cut short or has the wrong shape, or
    /// its ranking details are missing or contradict its own order or the other legs'.
    #[error("the answer of leg {leg} cannot be merged: {reason}")]
    Leg { leg: usize, reason: String },
    /// Leg `leg` gave all hits that it was asked for, and the page may need more of it. Ask this leg for the whole page.
    #[error("leg {leg} gave all hits that it was asked for, and the page needs more of it")]
    Dry { leg: usize },
    /// The page needs more hits than the legs were asked for. Ask for more.
    #[error("the legs were not asked deep enough")]
    Short,
    /// A leg left out a hit with several distinct values, which may have hidden others of that leg. Ask the legs for
    /// all hits, without `distinct`.
    #[error("the legs left out hits that one node would give")]
    Entangled,
}

/// A fault found where the leg's number is not known yet.
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
