//! Merging many orders into one: ranking keys, cursors over legs, the k-way merge, re-formed buckets, weighted scores.
//!
//! Invariant: the order depends only on the hits, never on which leg returns them.

pub(crate) mod buckets;
pub(crate) mod k_way;
pub(crate) mod leg_cursor;
pub(crate) mod ranking_key;
pub(crate) mod weighted_score;
