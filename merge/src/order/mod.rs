//! One order out of many: ranking keys, cursors over legs, the k-way merge, buckets made anew, weighted scores.
//!
//! Invariant: the order depends on the hits alone, never on which leg brings them.

pub(crate) mod buckets;
pub(crate) mod k_way;
pub(crate) mod leg_cursor;
pub(crate) mod ranking_key;
pub(crate) mod weighted_score;
