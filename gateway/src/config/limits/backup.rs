//! Bounds of backups.

use std::time::Duration;

/// Backups that are remembered, complete or not.
pub const BACKUPS_MAX: usize = 1000;
/// Complete backups that are kept, unless an option says so.
pub const BACKUPS_KEPT_DEFAULT: usize = 7;
/// Parts of a backup that wait while it is read back.
pub const BACKUP_PARTS_WAITING_MAX: usize = 2;
/// Documents, and their bytes, that a restore writes at once.
pub const DOCUMENTS_PER_RESTORE: usize = 2000;
pub const BYTES_PER_RESTORE: usize = 8 << 20;
/// Tasks of a restore that may be unfinished at once.
pub const RESTORE_TASKS_MAX: usize = 4;
/// For how long the numbers of operations are counted on.
pub const OPERATION_NUMBERS_KEPT: Duration = Duration::from_secs(100 * 365 * 86_400);

const _: () = assert!(BACKUPS_KEPT_DEFAULT < BACKUPS_MAX);
