//! Tasks as clients see them: summaries, whole views, pages, details summed over nodes.
//!
//! Invariants: nothing of a node's own task numbers is shown. Counts that nodes report are summed over one replica
//! per shard. Source: Meilisearch's task and task list formats, 1.15 to 1.50.

use serde_json::{Value, json};
use store::{TaskKind, TaskPage, TaskRecord, TaskStatus};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

/// The body of the `202` response to a change. As on a node, which answers before it starts, the task is shown as
/// enqueued, whatever has become of it since.
#[must_use]
pub fn summary(task: &TaskRecord) -> Value {
    let mut view = json!({
        "taskUid": task.uid,
        "indexUid": task.index_name(),
        "status": TaskStatus::Enqueued.as_str(),
        "type": task.kind.as_str(),
        "enqueuedAt": date(task.enqueued_at),
    });
    if let Some(metadata) = &task.custom_metadata {
        view["customMetadata"] = json!(metadata);
    }
    view
}

/// A task as `GET /tasks/{uid}` gives it.
#[must_use]
pub fn view(task: &TaskRecord) -> Value {
    let duration = match (task.started_at, task.finished_at) {
        (Some(started), Some(finished)) => Some(duration(finished - started)),
        _ => None,
    };
    let mut view = json!({
        "uid": task.uid,
        "batchUid": task.started_at.map(|_| task.uid),
        "indexUid": task.index_name(),
        "status": task.status.as_str(),
        "type": task.kind.as_str(),
        "canceledBy": task.canceler(),
    });
    let members = view.as_object_mut().expect("an object was just made");
    if let Some(details) = details(task) {
        members.insert("details".to_owned(), details);
    }
    members.insert("error".to_owned(), json!(task.error));
    members.insert("duration".to_owned(), json!(duration));
    members.insert("enqueuedAt".to_owned(), json!(date(task.enqueued_at)));
    members.insert("startedAt".to_owned(), json!(task.started_at.map(date)));
    members.insert("finishedAt".to_owned(), json!(task.finished_at.map(date)));
    if let Some(metadata) = &task.custom_metadata {
        members.insert("customMetadata".to_owned(), json!(metadata));
    }
    view
}

/// A page of the task list.
#[must_use]
pub fn page(page: &TaskPage, limit: u32) -> Value {
    json!({
        "results": page.tasks.iter().map(view).collect::<Vec<_>>(),
        "total": page.total,
        "limit": limit,
        "from": page.from,
        "next": page.next,
    })
}

/// Details with the counts of a finished task; a failed one counts nothing.
pub(crate) fn details(task: &TaskRecord) -> Option<Value> {
    let mut details = task.details.clone()?;
    if let (Value::Object(members), Some(count)) = (&mut details, counted(task.kind)) {
        let pending = !task.status.is_finished();
        let entry = members.entry(count.to_owned()).or_insert(Value::Null);
        if entry.is_null() && !pending {
            *entry = json!(0);
        }
    }
    Some(details)
}

/// The member of a task's details that nodes count.
#[must_use]
pub fn counted(kind: TaskKind) -> Option<&'static str> {
    match kind {
        TaskKind::DocumentAdditionOrUpdate => Some("indexedDocuments"),
        TaskKind::DocumentDeletion | TaskKind::IndexDeletion => Some("deletedDocuments"),
        TaskKind::DocumentEdition => Some("editedDocuments"),
        TaskKind::TaskCancelation => Some("canceledTasks"),
        TaskKind::TaskDeletion => Some("deletedTasks"),
        TaskKind::SettingsUpdate
        | TaskKind::IndexCreation
        | TaskKind::IndexUpdate
        | TaskKind::IndexSwap
        | TaskKind::IndexCompaction
        | TaskKind::DumpCreation
        | TaskKind::SnapshotCreation
        | TaskKind::Export
        | TaskKind::UpgradeDatabase
        | TaskKind::NetworkTopologyChange
        | TaskKind::DsrUpdate
        | TaskKind::DsrClear => None,
    }
}

/// Whether a task can be canceled while nodes have yet to do it. What the gateway's own registry has taken over
/// already (settings, creation and deletion of indexes) goes on, since nodes would differ from the registry
/// otherwise.
#[must_use]
pub fn is_cancelable(kind: TaskKind) -> bool {
    matches!(
        kind,
        TaskKind::DocumentAdditionOrUpdate
            | TaskKind::DocumentDeletion
            | TaskKind::DocumentEdition
            | TaskKind::IndexCompaction
    )
}

/// Whether the gateway itself ends the task, whatever its nodes report: tasks that change the registry at their end,
/// and tasks about other tasks.
#[must_use]
pub fn ends_here(task: &TaskRecord) -> bool {
    matches!(
        task.kind,
        TaskKind::IndexSwap
            | TaskKind::IndexUpdate
            | TaskKind::TaskCancelation
            | TaskKind::TaskDeletion
            | TaskKind::DumpCreation
            | TaskKind::Export
    )
}

/// Whether nodes' details have to be summed at the end of a task.
#[must_use]
pub fn is_summed(kind: TaskKind) -> bool {
    counted(kind).is_some() || kind == TaskKind::IndexCompaction
}

/// Details with one count filled in.
#[must_use]
pub fn with_member(details: Option<&Value>, name: &str, count: usize) -> Value {
    let mut details = details.cloned().unwrap_or_else(|| json!({}));
    details[name] = json!(count);
    details
}

/// Sums what nodes counted; `share` is the ratio of the sum that counts each document once, as numerator and
/// denominator.
#[must_use]
pub fn sum_details(
    details: Option<Value>,
    kind: TaskKind,
    of_nodes: &[&Value],
    share: (u64, u64),
) -> Option<Value> {
    let mut members = details.and_then(|details| details.as_object().cloned()).unwrap_or_default();
    if kind == TaskKind::IndexCompaction {
        for name in COMPACTED {
            let sizes = of_nodes.iter().filter_map(|details| bytes(details[name].as_str()?));
            #[allow(clippy::cast_precision_loss, reason = "a number of shards or copies is small")]
            let share = share.0 as f64 / share.1.max(1) as f64;
            let sum = sizes.fold(0.0, |sum, bytes| sum + bytes);
            members.insert(name.to_owned(), json!(size(sum * share)));
        }
    }
    let mut names = counted(kind).into_iter().collect::<Vec<_>>();
    if kind == TaskKind::DocumentEdition {
        names.push("deletedDocuments");
    }
    for name in names {
        let sum: u64 = of_nodes.iter().filter_map(|details| details[name].as_u64()).sum();
        let of_all = u128::from(sum) * u128::from(share.0) / u128::from(share.1.max(1));
        members.insert(name.to_owned(), json!(u64::try_from(of_all).unwrap_or(u64::MAX)));
    }
    Some(Value::Object(members))
}

/// The sizes that a compaction reports.
const COMPACTED: [&str; 2] = ["preCompactionSize", "postCompactionSize"];
const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const DECIMAL_UNITS: [&str; 6] = ["B", "KB", "MB", "GB", "TB", "PB"];

/// Bytes of a size as Meilisearch writes it, such as `1.5 MiB` or `20 KB`.
fn bytes(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once(' ')?;
    let number = number.parse::<f64>().ok()?;
    let power = |units: [&str; 6], base: f64| {
        let place = units.iter().position(|known| *known == unit)?;
        Some(number * base.powi(i32::try_from(place).ok()?))
    };
    power(UNITS, 1024.0).or_else(|| power(DECIMAL_UNITS, 1000.0))
}

/// A size in the largest binary unit that leaves a number of at least 1.
fn size(bytes: f64) -> String {
    let mut number = bytes;
    let mut unit = 0;
    while number >= 1024.0 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    let rounded = (number * 100.0).round() / 100.0;
    format!("{rounded} {}", UNITS[unit])
}

/// RFC 3339 as Meilisearch writes dates.
#[must_use]
pub fn date(date: OffsetDateTime) -> String {
    date.format(&Rfc3339).unwrap_or_default()
}

/// ISO 8601, seconds with up to nine decimals.
pub(crate) fn duration(duration: Duration) -> String {
    let (seconds, nanoseconds) = (duration.whole_seconds().max(0), duration.subsec_nanoseconds().max(0));
    let (days, seconds) = (seconds / 86_400, seconds % 86_400);
    let days = if days > 0 { format!("{days}D") } else { String::new() };
    match nanoseconds {
        0 => format!("P{days}T{seconds}S"),
        _ => {
            let decimals = format!("{nanoseconds:09}");
            format!("P{days}T{seconds}.{}S", decimals.trim_end_matches('0'))
        }
    }
}

/// Whether a text is an index uid: `[A-Za-z0-9_-]`, 1 to 400 bytes.
#[must_use]
pub fn is_index_uid(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=400).contains(&text.len()) && text.bytes().all(allowed)
}

/// Why a text is not an index uid, in Meilisearch's words (which name another bound than it applies).
#[must_use]
pub fn invalid_index_uid_reason(text: &str) -> String {
    format!(
        "`{text}` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric characters, hyphens (-) and underscores (_), and can not be more than 512 bytes."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_iso_8601() {
        assert_eq!(duration(Duration::new(0, 40_000_000)), "PT0.04S");
        assert_eq!(duration(Duration::new(86_401, 0)), "P1DT1S");
        assert_eq!(duration(Duration::ZERO), "PT0S");
    }

    #[test]
    fn sizes_of_a_compaction_are_summed() {
        let (one, two) = (json!({"preCompactionSize": "1.5 MiB"}), json!({"preCompactionSize": "512 KiB"}));
        let details = sum_details(None, TaskKind::IndexCompaction, &[&one, &two], (1, 1)).unwrap();
        assert_eq!(details, json!({"preCompactionSize": "2 MiB", "postCompactionSize": "0 B"}));
        assert_eq!(
            (bytes("20 KB"), bytes("7 B"), bytes("x"), bytes("1 XiB")),
            (Some(20_000.0), Some(7.0), None, None)
        );
        assert_eq!(size(1_234_567.0), "1.18 MiB");
    }

    #[test]
    fn counts_are_summed_over_one_replica_per_shard() {
        let (one, two) = (json!({"indexedDocuments": 4}), json!({"indexedDocuments": 6}));
        let details = sum_details(
            Some(json!({"receivedDocuments": 5})),
            TaskKind::DocumentAdditionOrUpdate,
            &[&one, &two],
            (1, 2),
        );
        assert_eq!(details, Some(json!({"receivedDocuments": 5, "indexedDocuments": 5})));
    }
}
