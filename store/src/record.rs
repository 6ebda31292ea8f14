//! Records other than tasks: the index registry, versioned values, the generic tables and the logs.
//! Revisions are positive, grow with every write in the whole store and are never handed out twice, so a record that
//! was deleted and made again cannot be mistaken for the old one.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::TaskChange;

/// A value with the version that its writer gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned<T> {
    pub version: u64,
    pub value: T,
}

/// The gateway's record of one index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRecord {
    pub uid: String,
    /// The index's name on the nodes.
    pub node_uid: String,
    pub primary_key: Option<String>,
    pub shards: u32,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// The settings of the user that the gateway applies itself.
    pub settings: serde_json::Value,
    pub settings_version: u64,
    /// Whether nodes have received settings that are not yet committed as a version.
    #[serde(default)]
    pub settings_pending: bool,
    /// Whether every primary key of the index is written in the one form that a filter can name it by, so that a filter
    /// on keys selects shards. False for indexes of older stores.
    #[serde(default)]
    pub keys_are_plain: bool,
    /// Changes of settings that nodes have been given and that have not ended, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings_ahead: Vec<SettingsAhead>,
    /// The writes that brought the primary key and have not ended: it stays when one of them succeeds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_tasks: Vec<u32>,
    /// Whether nodes may have kept a primary key that a failed write brought.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub key_is_stale: bool,
    /// What becomes of documents that end; `None` where none do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<TtlPolicy>,
    /// Further copies under another number of shards, which get every write as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<Twin>,
    /// Set by the store; what a caller writes here is ignored.
    pub revision: u64,
}

/// Copies of all documents of an index under another name on the nodes and another number of shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twin {
    pub node_uid: String,
    pub shards: u32,
    /// Until when it is kept, if it served once; `None` while it is being filled to serve.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<OffsetDateTime>,
}

/// A change of an index's settings that holds once its task succeeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsAhead {
    pub task: u32,
    /// The settings as sent; a null resets one.
    pub change: serde_json::Value,
}

/// What becomes of the documents of an index that end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TtlPolicy {
    /// Whether documents end at all.
    pub enabled: bool,
    /// Seconds from one sweep to the next; at least 1.
    pub sweep_interval_seconds: u32,
    /// Documents that one sweep deletes; at least 1.
    pub max_deletes_per_sweep: u32,
}

/// One change of a commit. No two changes of one commit concern the same record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Creates (`None`) or replaces the index, if its stored revision is the expected one.
    PutIndex {
        record: Box<IndexRecord>,
        expected_revision: Option<u64>,
    },
    DeleteIndex {
        uid: String,
        expected_revision: u64,
    },
    UpdateTask {
        uid: u32,
        change: Box<TaskChange>,
    },
    /// Exchanges two index names in every accepted task with a uid below `below`: as the task's index, and among the
    /// indexes of a swap. Takes time in proportion to the number of those tasks.
    ExchangeIndexNames {
        one: String,
        other: String,
        below: u32,
    },
    /// Creates (`None`) or replaces a record, if its stored revision is the expected one.
    PutRecord {
        table: Table,
        key: String,
        value: serde_json::Value,
        expected_revision: Option<u64>,
    },
    /// Deletes a record, whatever its revision. A record that is gone already is no conflict.
    ForgetRecord {
        table: Table,
        key: String,
    },
    /// Appends an entry to a log. The entry's revision is its sequence.
    Append {
        log: Table,
        stream: String,
        header: serde_json::Value,
        body: Bytes,
    },
    /// Changes nothing. The commit fails with `Fenced` unless `token` is the newest one of the scope's lease.
    Fence {
        scope: String,
        token: u64,
    },
    /// Removes a finished job. The commit fails with `Fenced` unless `token` is that of the job's newest claim.
    CompleteJob {
        queue: String,
        key: String,
        token: u64,
    },
    /// Deletes the entries of a log up to and including the sequence `through`.
    Truncate {
        log: Table,
        stream: String,
        through: u64,
    },
}

/// The name of a generic table, or of a family of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Table(&'static str);

impl Table {
    /// Names a table: 1 to 32 bytes of `a-z` and `_`.
    ///
    /// # Panics
    /// On any other name. In a `const`, where names belong, that is a compile error.
    pub const fn named(name: &'static str) -> Table {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= 32, "a table's name has 1 to 32 bytes");
        let mut position = 0;
        while position < bytes.len() {
            assert!(matches!(bytes[position], b'a'..=b'z' | b'_'), "a table's name is made of a-z and _");
            position += 1;
        }
        Table(name)
    }

    /// Whether `name` is allowed as the name of a table.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        (1..=32).contains(&name.len()) && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'))
    }

    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// One record of a generic table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub key: String,
    pub value: serde_json::Value,
    pub revision: u64,
}

/// One entry of a log. A table of logs has one log for each stream. A stream's name has no zero byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Grows along the log, with gaps.
    pub sequence: u64,
    pub header: serde_json::Value,
    /// Any bytes, of any length.
    pub body: Bytes,
}

/// The size of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSize {
    pub stream: String,
    pub entries: u64,
    /// Of the bodies, in bytes.
    pub bytes: u64,
}
