//! Tells the service manager that the gateway lives, while every executor takes its turns.
//!
//! Invariant: one executor that hangs ends the messages, so that the service manager starts the process anew.

use std::{io, sync::Arc, thread, time::Duration};

use crate::{config::limits::HEARTBEATS_PER_LOOK, process::systemd::Notifier, state::shared::Shared};

/// How often to look, from systemd's variables: in half the time after which it would act. `None`: nobody watches this
/// process. A successor is watched in place of the process that `own` does not name.
pub(super) fn interval(
    variable: impl Fn(&str) -> Option<String>,
    own: u32,
    is_successor: bool,
) -> Option<Duration> {
    let microseconds: u64 = variable("WATCHDOG_USEC")?.parse().ok().filter(|time| *time > 0)?;
    let watched = variable("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(own));
    (watched || is_successor).then(|| Duration::from_micros(microseconds / 2))
}

/// How often executors beat for a watchdog that looks at this interval.
pub(super) fn beat_period(interval: Duration) -> Duration {
    interval / HEARTBEATS_PER_LOOK
}

/// Looks at the executors for as long as the process lives.
///
/// # Errors
/// When the thread cannot start.
pub(super) fn start(shared: Arc<Shared>, notifier: Notifier, interval: Duration) -> io::Result<()> {
    let watch = move || {
        let mut before = shared.heartbeats.counts();
        loop {
            thread::sleep(interval);
            let now = shared.heartbeats.counts();
            if all_have_beaten(&before, &now) {
                notifier.alive();
            }
            before = now;
        }
    };
    thread::Builder::new().name("watchdog".to_owned()).spawn(watch).map(drop)
}

fn all_have_beaten(before: &[u64], now: &[u64]) -> bool {
    before.iter().zip(now).all(|(before, now)| before != now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_half_of_what_systemd_allows() {
        let check = |time: Option<&str>, pid: Option<&str>, is_successor, expected: Option<u64>| {
            let variable = |name: &str| if name == "WATCHDOG_USEC" { time } else { pid }.map(str::to_owned);
            let found = interval(variable, 7, is_successor);
            assert_eq!(found, expected.map(Duration::from_millis), "{time:?} {pid:?}");
        };
        check(Some("30000000"), None, false, Some(15_000));
        check(Some("30000000"), Some("7"), false, Some(15_000));
        check(Some("30000000"), Some("8"), false, None);
        check(Some("30000000"), Some("8"), true, Some(15_000));
        check(None, Some("7"), true, None);
        check(Some("0"), None, false, None);
        check(Some("soon"), None, false, None);
    }

    #[test]
    fn one_executor_that_hangs_is_seen() {
        assert!(all_have_beaten(&[1, 5], &[2, 9]));
        assert!(!all_have_beaten(&[1, 5], &[2, 5]));
    }
}
