//! Pure routing: hashing, shards, placement, topology snapshots and covering sets.
