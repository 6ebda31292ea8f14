//! Commands about data that comes in, goes out, and rolls over.

pub(super) mod cdc;
pub(super) mod dump;
pub(super) mod migrate;
pub(super) mod rollover;
