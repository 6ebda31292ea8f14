//! Bounds of the management API: the audit log, keys of repeated requests, diagnosis.

use std::time::Duration;

/// Entries of the audit log; the oldest make room.
pub const AUDIT_ENTRIES_MAX: u64 = 10_000;
/// Bytes of what an entry shows of before, and of after.
pub const AUDIT_VALUE_BYTES_MAX: usize = 16 << 10;
/// Entries on one page.
pub const AUDIT_PAGE_DEFAULT: u32 = 20;
pub const AUDIT_PAGE_MAX: u32 = 1000;

/// Keys of repeated management requests that are remembered, and for how long.
pub const MANAGEMENT_KEYS_MAX: usize = 1024;
pub const MANAGEMENT_KEY_RETENTION: Duration = Duration::from_secs(24 * 3600);
/// A request with a key that has no answer by now was begun by a process that died.
pub const MANAGEMENT_KEY_ABANDONED: Duration = Duration::from_secs(120);
/// Bytes of an answer that is remembered; a larger one is not given again.
pub const MANAGEMENT_ANSWER_BYTES_MAX: usize = 64 << 10;

/// Questions to each node of one diagnosis, and the time for each.
pub const DIAGNOSIS_QUESTIONS: usize = 3;
pub const DIAGNOSIS_QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Indexes whose settings one diagnosis compares.
pub const DIAGNOSIS_INDEXES_MAX: usize = 64;
/// Unfinished tasks that a diagnosis, or a list of writes, looks at.
pub const WRITES_LISTED_MAX: usize = 1000;
/// A write that has not ended after this is called stuck.
pub const WRITE_STUCK_AFTER: Duration = Duration::from_secs(300);
/// Bytes of the reason for which an operator ends a write.
pub const WRITE_REASON_BYTES_MAX: usize = 1024;

const _: () = {
    assert!(AUDIT_PAGE_MAX as u64 <= AUDIT_ENTRIES_MAX);
    assert!(AUDIT_PAGE_DEFAULT <= AUDIT_PAGE_MAX);
    // A request that is still served is not taken for abandoned.
    assert!(MANAGEMENT_KEY_ABANDONED.as_secs() > super::REQUEST_TIMEOUT_DEFAULT.as_secs());
};
