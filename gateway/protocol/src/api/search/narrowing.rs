//! Why a search asks all shards, although a few shards alone might hold its hits.
//!
//! Invariant: the planning of the search decides the reason; this file only names it.

/// Why a search asks all shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNarrowed {
    /// Shard-aware planning is switched off.
    Off,
    NoFilter,
    NoPrimaryKey,
    /// The filter does not tell the keys of the hits, or names too many.
    NotPinned,
    /// Some keys of the index equal others in a filter.
    KeysNotPlain,
    Facets,
    Distinct,
}

impl NotNarrowed {
    /// The name in an explanation.
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
