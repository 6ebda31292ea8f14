//! Orphan indexes: indexes on nodes that no client's index stands for (any more), since they are half made, or not
//! yet dropped everywhere.
//!
//! Invariants: an index's name on the nodes is used once, for the task that made it, so that a late request about it
//! never meets another index. The name is on record from before the first node is asked to make the index until it is
//! registered, and from its deletion until every node has taken that or a hint of it is kept.

use serde_json::{Value, json};
use store::{Change, Table};

pub const ORPHAN_INDEXES: Table = Table::named("leftovers");
/// Bytes of an index's uid with which its name on the nodes begins; the rest is room for a task's uid.
const UID_BYTES_KEPT: usize = 380;

/// The name on the nodes of the index that a task makes.
pub(crate) fn node_uid(uid: &str, task_uid: u32) -> String {
    format!("{}-{task_uid}", &uid[..uid.len().min(UID_BYTES_KEPT)])
}

/// The task that made the index with this name on nodes; `None` for a name that [`node_uid`] does not give.
#[must_use]
pub fn task_of(node_uid: &str) -> Option<u32> {
    let (name, task) = node_uid.rsplit_once('-')?;
    task.parse().ok().filter(|_| !name.is_empty())
}

/// The name on the nodes of the further copies of an index that are made in the `number`th place.
pub(crate) fn twin_uid(uid: &str, number: u64) -> String {
    format!("{}{number}", twin_prefix(uid))
}

/// With what the names of further copies of an index begin.
pub(crate) fn twin_prefix(uid: &str) -> String {
    // A number of theirs may have twice the digits of a task's uid.
    format!("{}-r", &uid[..uid.len().min(UID_BYTES_KEPT - 10)])
}

/// Whether the gateway gives names like this one to indexes on nodes.
#[must_use]
pub fn is_given(node_uid: &str) -> bool {
    let of_twin = |(name, number): (&str, &str)| !name.is_empty() && number.parse::<u64>().is_ok();
    task_of(node_uid).is_some() || node_uid.rsplit_once("-r").is_some_and(of_twin)
}

/// The stored value of an orphan index. While it is being made, only its maker may change it.
#[must_use]
pub fn value(being_made: bool) -> Value {
    json!({"beingMade": being_made})
}

/// The change that forgets a name, to be committed with others.
pub(crate) fn forget(node_uid: &str) -> Change {
    Change::ForgetRecord { table: ORPHAN_INDEXES, key: node_uid.to_owned() }
}

/// The change that remembers a name that nodes shall drop, to be committed with others.
pub(crate) fn remember(node_uid: &str) -> Change {
    let (key, value) = (node_uid.to_owned(), value(false));
    Change::PutRecord { table: ORPHAN_INDEXES, key, value, expected_revision: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tasks::view::is_index_uid;

    #[test]
    fn names_on_nodes_are_valid_and_end_with_their_task() {
        assert_eq!(node_uid("films", 7), "films-7");
        assert_eq!((task_of("films-7"), task_of("films"), task_of("-7")), (Some(7), None, None));
        assert!(is_index_uid(&node_uid(&"x".repeat(400), u32::MAX)));
        assert!(is_index_uid(&twin_uid(&"x".repeat(400), u64::MAX)));
        let given = ["films-7", "films-r7", "films", "films-r", "-r7"].map(is_given);
        assert_eq!((twin_uid("films", 7).as_str(), given), ("films-r7", [true, true, false, false, false]));
    }
}
