//! Plans swaps and renames, which change the names of indexes in the gateway's registry and nothing else.
//!
//! Invariants: no IO. The names in a task's steps are all different. The registry and the task change in one commit
//! of the store, so that a swap happens as a whole or not at all. Nodes are not asked.

use std::collections::BTreeSet;

use store::{Change, IndexRecord, TaskChange, TaskRecord, TaskStatus};
use time::OffsetDateTime;

use crate::{
    api::{
        error::{ApiError, Code},
        swap::Rename,
    },
    clock,
};

/// Checks whether a swap can be done, in the words of a task that fails.
///
/// # Errors
/// `index_not_found`, or `index_already_exists` for the new name of a rename.
pub fn check_swap(steps: &[Rename], exists: impl Fn(&str) -> bool) -> Result<(), ApiError> {
    let mut missing = BTreeSet::new();
    let mut taken = Vec::new();
    for step in steps {
        if !exists(&step.from) {
            missing.insert(step.from.as_str());
        }
        match (exists(&step.to), step.rename) {
            (true, true) => taken.push(step),
            (false, false) => drop(missing.insert(step.to.as_str())),
            (true, false) | (false, true) => {}
        }
    }
    let quoted = |names: &mut dyn Iterator<Item = &str>| {
        names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let missing_names = quoted(&mut missing.iter().copied());
    match (missing.len(), taken.as_slice()) {
        (0, []) => Ok(()),
        (0, [Rename { from, to, .. }]) => Err(ApiError::new(
            Code::IndexAlreadyExists,
            format!(
                "Cannot rename `{from}` to `{to}` as the index already exists. Hint: You can remove `{to}` first and then do your remove."
            ),
        )),
        (0, taken) => {
            let names = quoted(&mut taken.iter().map(|step| step.to.as_str()));
            Err(ApiError::new(
                Code::IndexAlreadyExists,
                format!(
                    "The following indexes are being renamed but cannot because their new name conflicts with an already existing index: {names}. Renaming doesn't overwrite the other index name."
                ),
            ))
        }
        (1, _) => Err(ApiError::new(Code::IndexNotFound, format!("Index {missing_names} not found."))),
        (_, _) => Err(ApiError::new(Code::IndexNotFound, format!("Indexes {missing_names} not found."))),
    }
}

/// What the names stand for afterwards; `None` for nothing. A record still has its former uid.
#[must_use]
pub fn outcome<Record: Clone>(
    steps: &[Rename],
    find: impl Fn(&str) -> Option<Record>,
) -> Vec<(&str, Option<Record>)> {
    steps
        .iter()
        .flat_map(|step| [(step.from.as_str(), find(&step.to)), (step.to.as_str(), find(&step.from))])
        .collect()
}

/// The commit that moves the indexes, renames their older tasks and changes the task itself.
#[must_use]
pub fn commit(
    steps: &[Rename],
    task_uid: u32,
    task: TaskChange,
    now: OffsetDateTime,
    find: impl Fn(&str) -> Option<IndexRecord>,
) -> Vec<Change> {
    let mut changes = vec![Change::UpdateTask { uid: task_uid, change: Box::new(task) }];
    for step in steps {
        let (one, other) = (step.from.clone(), step.to.clone());
        changes.push(Change::ExchangeIndexNames { one, other, below: task_uid });
    }
    let renamed = |uid: &str| steps.iter().any(|step| step.rename && step.to == uid);
    for (uid, record) in outcome(steps, &find) {
        let expected_revision = find(uid).map(|before| before.revision);
        match (record, expected_revision) {
            (Some(mut record), expected_revision) => {
                uid.clone_into(&mut record.uid);
                if renamed(uid) {
                    record.updated_at = now;
                }
                changes.push(Change::PutIndex { record: Box::new(record), expected_revision });
            }
            (None, Some(expected_revision)) => {
                changes.push(Change::DeleteIndex { uid: uid.to_owned(), expected_revision });
            }
            (None, None) => {}
        }
    }
    changes
}

/// The change that starts a task, made in the commit that changes the registry.
#[must_use]
pub fn begun(task: &TaskRecord, now: OffsetDateTime) -> TaskChange {
    TaskChange {
        expected_revision: Some(task.revision),
        status: Some(TaskStatus::Processing),
        started_at: Some(task.started_at.unwrap_or(now)),
        node_tasks: Some(task.node_tasks.clone()),
        ..TaskChange::default()
    }
}

/// The change that ends a task after its registry change: with the outcome of its nodes, if they had a part.
#[must_use]
pub fn ended(task: &TaskRecord) -> TaskChange {
    // Unfinished node tasks are those of nodes that are away, which do not count.
    let ended = task.node_tasks.iter().filter(|node_task| node_task.status.is_finished());
    let refused = ended.into_iter().find(|node_task| node_task.status != TaskStatus::Succeeded);
    TaskChange {
        status: Some(if refused.is_some() { TaskStatus::Failed } else { TaskStatus::Succeeded }),
        error: refused.and_then(|node_task| node_task.error.clone()),
        finished_at: Some(clock::utc()),
        ..TaskChange::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(from: &str, to: &str, rename: bool) -> Rename {
        Rename { from: from.to_owned(), to: to.to_owned(), rename }
    }

    fn record(uid: &str) -> IndexRecord {
        IndexRecord {
            uid: uid.to_owned(),
            node_uid: format!("{uid}-1"),
            primary_key: None,
            shards: 8,
            created_at: OffsetDateTime::UNIX_EPOCH,
            updated_at: OffsetDateTime::UNIX_EPOCH,
            settings: json!({}),
            settings_version: 1,
            settings_pending: false,
            keys_are_plain: true,
            settings_ahead: Vec::new(),
            key_tasks: Vec::new(),
            key_is_stale: false,
            ttl: None,
            twin: None,
            revision: 7,
        }
    }

    #[test]
    fn what_cannot_be_moved_is_named() {
        let exists = |uid: &str| ["a", "b", "c"].contains(&uid);
        let check = |steps: &[Rename], expected: Option<(Code, &str)>| {
            let found = check_swap(steps, exists)
                .map_err(|error| (error.code().unwrap(), error.into_task_error().message));
            assert_eq!(found.err(), expected.map(|(code, message)| (code, message.to_owned())));
        };
        check(&[step("a", "b", false), step("c", "new", true)], None);
        check(&[step("a", "x", false)], Some((Code::IndexNotFound, "Index `x` not found.")));
        let missing = [step("y", "x", false), step("z", "n", true)];
        check(&missing, Some((Code::IndexNotFound, "Indexes `x`, `y`, `z` not found.")));
        let taken = "Cannot rename `a` to `b` as the index already exists. Hint: You can remove `b` first and then do your remove.";
        check(&[step("a", "b", true)], Some((Code::IndexAlreadyExists, taken)));
    }

    #[test]
    fn a_commit_exchanges_records_and_keeps_their_names() {
        let find = |uid: &str| ["a", "b", "c"].contains(&uid).then(|| record(uid));
        let steps = [step("a", "b", false), step("c", "d", true)];
        let changes = commit(&steps, 9, TaskChange::default(), OffsetDateTime::UNIX_EPOCH, find);
        let put = |uid: &str, of: &str, expected_revision| Change::PutIndex {
            record: Box::new(IndexRecord { uid: uid.to_owned(), ..record(of) }),
            expected_revision,
        };
        assert_eq!(
            changes[3..],
            [
                put("a", "b", Some(7)),
                put("b", "a", Some(7)),
                Change::DeleteIndex { uid: "c".to_owned(), expected_revision: 7 },
                put("d", "c", None),
            ]
        );
    }
}
