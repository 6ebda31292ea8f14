//! Bounds of the admin console: sessions, sign-ins, streams of events, metrics kept.

use std::time::Duration;

/// How long a session of the console lasts.
pub const CONSOLE_SESSION_TIME: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at a time; the oldest ends for one more.
pub const CONSOLE_SESSIONS_MAX: usize = 256;
/// Characters that are kept of what a browser says of itself.
pub const CONSOLE_AGENT_CHARS_MAX: usize = 120;
/// Bytes of the body of a sign-in, which anybody may send.
pub const CONSOLE_LOGIN_BYTES_MAX: usize = 4 << 10;
/// Sign-ins of an address within the window.
pub const CONSOLE_LOGINS_MAX: u64 = 10;
pub const CONSOLE_LOGIN_WINDOW: Duration = Duration::from_secs(60);
/// How long an address that tried too often has to wait: doubled from the least to the most.
pub const CONSOLE_LOCKOUT_MIN: Duration = Duration::from_secs(10 * 60);
pub const CONSOLE_LOCKOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes of the key that seals sessions.
pub const CONSOLE_SEAL_KEY_BYTES_MIN: usize = 16;

/// Streams of events at a time in one process.
pub const CONSOLE_STREAMS_MAX: usize = 64;
/// How long one stream lasts; a browser opens the next by itself.
pub const CONSOLE_STREAM_TIME: Duration = Duration::from_secs(15 * 60);
/// The longest silence of a stream: then its session is looked up again, and the client learns that it is alive.
pub const CONSOLE_STREAM_SILENCE_MAX: Duration = Duration::from_secs(10);
/// The least time between two events of a stream.
pub const CONSOLE_STREAM_PAUSE: Duration = Duration::from_millis(200);
/// The time between two looks at what open consoles show; nobody looks while none is open.
pub const CONSOLE_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The time between two points of the metrics, and how many are kept: an hour.
pub const CONSOLE_POINT_INTERVAL: Duration = Duration::from_secs(10);
pub const CONSOLE_POINTS_MAX: usize = 360;

const _: () = {
    assert!(CONSOLE_LOGIN_WINDOW.as_secs() < CONSOLE_LOCKOUT_MIN.as_secs());
    assert!(CONSOLE_LOCKOUT_MIN.as_secs() < CONSOLE_LOCKOUT_MAX.as_secs());
    assert!(CONSOLE_STREAM_SILENCE_MAX.as_secs() < CONSOLE_STREAM_TIME.as_secs());
    assert!(CONSOLE_POINT_INTERVAL.as_secs() * CONSOLE_POINTS_MAX as u64 == 3600);
};
