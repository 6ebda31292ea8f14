//! Bounds of what brings data in and out, and of what rolls over.

use std::time::Duration;

/// Operations on data that are remembered, and how many may wait or run at once.
pub const DATA_OPERATIONS_MAX: usize = 200;

/// Policies of rolling indexes.
pub const ROLLOVER_POLICIES_MAX: usize = 100;
/// The time between two checks of all policies.
pub const ROLLOVER_CHECK_INTERVAL: Duration = Duration::from_secs(3600);
/// The time between two looks at whether a policy has something to do.
pub const ROLLOVER_LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// New indexes that one check begins.
pub const ROLLOVERS_PER_CHECK_MAX: usize = 10;
/// Acts of one policy in one look; what is left is done in the next.
pub const ROLLOVER_ACTS_MAX: usize = 32;
/// The pause after a policy's first failure, and the longest to which it doubles.
pub const ROLLOVER_RETRY_MIN: Duration = Duration::from_secs(1);
pub const ROLLOVER_RETRY_MAX: Duration = Duration::from_secs(60);

/// Keys in one event of the stream of changes that has no documents.
pub const CDC_KEYS_PER_EVENT_MAX: usize = 1000;
/// Events in one delivery, and the most that an option allows.
pub const CDC_BATCH_DEFAULT: usize = 100;
pub const CDC_BATCH_MAX: usize = 10_000;
/// How long a delivery that is not full waits for more.
pub const CDC_FLUSH_DEFAULT: Duration = Duration::from_secs(1);
/// Bytes of the stream that all deliveries of a pod hold in memory.
pub const CDC_MEMORY_BYTES_MAX: usize = 64 << 20;
/// Bytes of the stream that are read at once.
pub const CDC_PAGE_BYTES_MAX: usize = 4 << 20;
/// Bytes of the stream in the store.
pub const CDC_STORE_BYTES_MAX: u64 = 1 << 30;
/// The time between two looks at the stream's size, and at whether it has grown.
pub const CDC_TRIM_INTERVAL: Duration = Duration::from_secs(30);
pub const CDC_LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// For one delivery, and for a connection to a server of messages.
pub const CDC_SEND_TIMEOUT: Duration = Duration::from_secs(30);
pub const CDC_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after the first delivery that failed, and the longest to which it doubles.
pub const CDC_RETRY_MIN: Duration = Duration::from_millis(200);
pub const CDC_RETRY_MAX: Duration = Duration::from_secs(3600);
/// Events of one answer about changes: by default, and at most.
pub const CDC_READ_DEFAULT: usize = 100;
pub const CDC_READ_MAX: usize = 10_000;
/// How long a request may wait for changes.
pub const CDC_WAIT_MAX: Duration = Duration::from_secs(55);
/// How often the end of the stream is looked for when others do so, too.
pub const CDC_MARK_ATTEMPTS_MAX: usize = 20;

/// Lines of the log that wait for who reads it over HTTP; more are left out.
pub const LOG_LINES_MAX: usize = 1024;

/// Rounds of one conversation with a model, and the searches in one of its answers.
pub const CHAT_ROUNDS_MAX: usize = 20;
pub const CHAT_CALLS_MAX: usize = 32;
/// Bytes of the arguments of one search.
pub const CHAT_ARGUMENTS_BYTES_MAX: usize = 64 << 10;
/// Pieces of a conversation that wait for the client, and chunks that wait for the gateway.
pub const CHAT_PIECES_MAX: usize = 16;
/// Bytes of one chunk of a model's.
pub const CHAT_LINE_BYTES_MAX: u64 = 4 << 20;
/// For one answer of a model.
pub const CHAT_MODEL_TIMEOUT: Duration = Duration::from_secs(300);
/// Values of one attribute that a model is told.
pub const CHAT_FACET_VALUES_MAX: usize = 10;

/// Workspaces of chats.
pub const CHAT_WORKSPACES_MAX: usize = 1000;

/// Files in a dump that is imported.
pub const DUMP_ENTRIES_MAX: usize = 1_000_000;
/// Bytes of one line of a dump, of a file that is one value, of a file that is passed over, and behind its last file.
pub const DUMP_LINE_BYTES_MAX: u64 = 16 << 20;
pub const DUMP_FILE_BYTES_MAX: u64 = 16 << 20;
pub const DUMP_SKIPPED_BYTES_MAX: u64 = 64 << 30;
pub const DUMP_TAIL_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a dump that is sent to a gateway.
pub const IMPORT_BYTES_MAX: u64 = 1 << 40;
/// Up to this many bytes a dump is read whole before whoever sent it is answered.
pub const IMPORT_READ_AT_ONCE_BYTES_MAX: u64 = 4 << 20;
/// Imports that have not ended.
pub const IMPORTS_WAITING_MAX: usize = 16;
/// Pieces of an upload that wait for its handler, and for the disk.
pub const UPLOAD_PIECES_WAITING_MAX: usize = 4;
pub const IMPORT_PIECES_WAITING_MAX: usize = 4;
/// Bytes of an upload that are written to the disk at once.
pub const IMPORT_WRITE_BYTES: usize = 1 << 20;
/// For the whole body of an upload; the gap between two pieces is bounded as for every body.
pub const UPLOAD_TIMEOUT: Duration = Duration::from_secs(86_400);
/// The time between two looks at whether an import has something to do.
pub const IMPORT_LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// For how long the file of an import that does not go on is kept.
pub const IMPORT_FILE_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How often the progress of an import is stored anew when operators change it at the same time.
pub const IMPORT_NOTE_ATTEMPTS_MAX: usize = 20;

/// Bytes of one request of an export: by default, and at most.
pub const EXPORT_PAYLOAD_BYTES_DEFAULT: usize = 20 << 20;
pub const EXPORT_PAYLOAD_BYTES_MAX: usize = 64 << 20;
/// For one request to another server, and how often it is tried, with a pause that doubles.
pub const EXPORT_REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
pub const EXPORT_ATTEMPTS_MAX: usize = 7;
pub const EXPORT_RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Bytes of the other server's answer.
pub const EXPORT_ANSWER_BYTES_MAX: u64 = 1 << 20;

const _: () = {
    assert!(CDC_PAGE_BYTES_MAX <= CDC_MEMORY_BYTES_MAX);
    assert!(CDC_BATCH_DEFAULT <= CDC_BATCH_MAX);
    assert!(CDC_READ_DEFAULT <= CDC_READ_MAX);
    assert!(IMPORTS_WAITING_MAX < DATA_OPERATIONS_MAX);
    assert!(EXPORT_PAYLOAD_BYTES_DEFAULT <= EXPORT_PAYLOAD_BYTES_MAX);
    assert!(ROLLOVER_RETRY_MIN.as_millis() < ROLLOVER_RETRY_MAX.as_millis());
    assert!(ROLLOVERS_PER_CHECK_MAX <= ROLLOVER_POLICIES_MAX);
};
