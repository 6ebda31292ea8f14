//! Bounds of repair: how copies are compared and made equal, passes, tombstones, and settings.

use std::time::Duration;

/// Documents on the first page of a shard, while their size is unknown.
pub const REPAIR_PAGE_FIRST: usize = 100;
pub const REPAIR_PAGE_DOCUMENTS_MAX: usize = 5000;
/// The size that a page should have.
pub const REPAIR_PAGE_BYTES: usize = 4 << 20;
/// Documents whose keys and hashes are in memory together, all copies counted.
pub const REPAIR_KEYS_LOOKED_AT: u64 = 200_000;
/// Shards whose copies are compared together: what one page, or one failure, is about.
pub const SHARDS_COMPARED_TOGETHER_MAX: u32 = 16;
/// Pages of one part that wait at the node which is filled.
pub const COPIED_PAGES_WAITING_MAX: usize = 4;
/// Parts of one copy that are filled at once, each from another node or with other shards.
pub const PARTS_FILLED_TOGETHER_MAX: usize = 4;
/// Documents that are repaired while a lane is locked once.
pub const REPAIR_KEYS_PER_HOLD: usize = 1000;
/// Bytes of one body that repair sends to a node, unless one document is larger.
pub const REPAIR_BODY_BYTES: usize = 8 << 20;
/// For one question to a node while a lane is locked.
pub const REPAIR_HELD_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For how long repair waits for working nodes while a lane is locked, and how often it tries.
pub const REPAIR_HELD_WAIT_MAX: Duration = Duration::from_secs(2);
pub const REPAIR_HOLD_ATTEMPTS: u32 = 20;
/// How often a copy that nobody believes yet is given what it lacks before a lane is locked for that.
pub const REPAIR_UNHELD_ATTEMPTS: u32 = 3;
/// For how long repair waits for a node to do what it was sent.
pub const REPAIR_TASK_TIMEOUT: Duration = Duration::from_secs(600);
/// Misplaced documents that one pass removes from one node.
pub const REPAIR_STRAYS_MAX: usize = 100_000;
/// A node's newest tasks, and the gateway's, among which foreign ones are looked for.
pub const FOREIGN_TASKS_LOOKED_AT: u32 = 1000;
pub const GATEWAY_TASKS_LOOKED_AT: u32 = 10_000;
/// Ids of one stored tombstone, and ids of all tombstones together; beyond it the oldest are deleted.
pub const TOMBSTONE_KEYS_PER_RECORD: usize = 10_000;
pub const TOMBSTONES_MAX: usize = 1_000_000;

/// The time between two passes, unless the option says otherwise.
pub const ANTI_ENTROPY_INTERVAL_DEFAULT: Duration = Duration::from_secs(6 * 3600);
/// Copies of a shard that a pass reads at the same time, and the most that the option allows.
pub const PASS_READS_DEFAULT: usize = 2;
pub const PASS_READS_MAX: usize = 64;
/// Documents that a pass reads of a node by one request, where their size allows.
pub const FINGERPRINT_BATCH_DEFAULT: usize = 1000;
/// The longest time between two checks whether a periodic pass is due.
pub const ANTI_ENTROPY_POLL_INTERVAL: Duration = Duration::from_secs(60);
/// The share of a node's time that a periodic pass takes.
pub const ANTI_ENTROPY_SHARE: f64 = 0.02;
/// The least time between two passes.
pub const REPAIR_PASS_PAUSE: Duration = Duration::from_millis(100);
/// Passes in the history.
pub const ANTI_ENTROPY_HISTORY_MAX: usize = 100;
/// The range of options that are intervals.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);
pub const INTERVAL_MAX: Duration = Duration::from_secs(720 * 3600);

/// The time between two checks of pending changes of settings, and between tries where nodes disagree.
pub const SETTINGS_TEND_INTERVAL: Duration = Duration::from_millis(100);
pub const SETTINGS_BACKOFF_MIN: Duration = Duration::from_millis(500);
/// An index takes no writes once its settings could not be made equal this often.
pub const SETTINGS_ATTEMPTS_MAX: u32 = 5;
/// The time between two checks of nodes' settings, unless the option says otherwise.
pub const SETTINGS_DRIFT_INTERVAL_DEFAULT: Duration = Duration::from_secs(300);
