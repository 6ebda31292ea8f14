//! Pure merging: per-shard answers in, one exact answer out, over raw JSON slices.
