//! Why a search asks all shards although some alone might hold hits.
//!
//! Invariant: a reason is decided where the search is planned; here it only has its name.

/// Why a search asks all shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNarrowed {
    /// Planning by shard is switched off.
    Off,
    NoFilter,
    NoPrimaryKey,
    /// The filter does not say which keys hits have, or names too many.
    NotPinned,
    /// Some keys of the index equal others in a filter.
    KeysNotPlain,
    Facets,
    Distinct,
}

impl NotNarrowed {
    /// As an explanation names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "shard-aware planning is off",
            Self::NoFilter => "the search has no filter",
            Self::NoPrimaryKey => "the index has no primary key yet",
            Self::NotPinned => "the filter does not pin the primary key",
            Self::KeysNotPlain => "the index has keys that equal each other in a filter",
            Self::Facets => "facets are asked of all shards",
            Self::Distinct => "hits are made distinct over all shards",
        }
    }
}
