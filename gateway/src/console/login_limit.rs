//! How often an address may sign in: some times a minute, then not for a while that doubles each time.
//!
//! Invariants: attempts and lockouts are in the store, so that all pods count together. A lockout never gets shorter
//! by an attempt. What has been calm for long enough is forgotten, so that neither table grows for ever.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::{Change, Store, StoreError, Table, coordination::COUNTERS};
use time::OffsetDateTime;

use crate::config::limits;

/// The table of lockouts, by address.
pub const LOCKOUTS: Table = Table::named("console_lockouts");
/// How counters of attempts are named, before the address.
const COUNTER_PREFIX: &str = "console_login:";
/// Records that one sweep looks at.
const SWEPT_MAX: usize = 1000;

/// A time in which an address may not sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Lockout {
    /// How many lockouts came before, without a calm time between.
    level: u32,
    #[serde(with = "time::serde::timestamp")]
    until: OffsetDateTime,
}

impl Lockout {
    /// The lockout of an address that has tried too often.
    fn after(previous: Option<Self>, now: OffsetDateTime) -> Self {
        let known = previous.filter(|previous| !previous.is_forgotten(now));
        let level = known.map_or(0, |previous| previous.level.saturating_add(1));
        let factor = 1_u32.checked_shl(level).unwrap_or(u32::MAX);
        let time = limits::CONSOLE_LOCKOUT_MIN.saturating_mul(factor).min(limits::CONSOLE_LOCKOUT_MAX);
        Self { level, until: now + time }
    }

    fn is_forgotten(self, now: OffsetDateTime) -> bool {
        now >= self.until + limits::CONSOLE_LOCKOUT_MAX
    }

    /// How long the address still has to wait; `None` when it need not.
    fn left(self, now: OffsetDateTime) -> Option<Duration> {
        Duration::try_from(self.until - now).ok().filter(|left| !left.is_zero())
    }
}

/// Counts one attempt of an address; gives the time that it has to wait, if it may not try.
///
/// # Errors
/// The store's.
pub async fn admit(
    store: &Store,
    address: &str,
    now: OffsetDateTime,
) -> Result<Option<Duration>, StoreError> {
    let (lockout, revision) = known(store, address).await?;
    if let Some(left) = lockout.and_then(|lockout| lockout.left(now)) {
        return Ok(Some(left));
    }
    let counter = format!("{COUNTER_PREFIX}{address}");
    let attempts = store.count(&counter, 1, limits::CONSOLE_LOGIN_WINDOW).await?;
    if attempts <= limits::CONSOLE_LOGINS_MAX {
        return Ok(None);
    }
    let next = Lockout::after(lockout, now);
    let value = serde_json::to_value(next).unwrap_or_default();
    match store.put_record(LOCKOUTS, address, value, revision).await {
        Ok(_) => Ok(next.left(now)),
        // Another attempt has locked the address out in this moment.
        Err(StoreError::Conflict) => {
            let (lockout, _) = known(store, address).await?;
            Ok(lockout.and_then(|lockout| lockout.left(now)).or(next.left(now)))
        }
        Err(error) => Err(error),
    }
}

/// Forgets lockouts and counters that are over.
///
/// # Errors
/// The store's.
pub async fn sweep(store: &Store, now: OffsetDateTime) -> Result<(), StoreError> {
    let mut over = Vec::new();
    for record in store.records(LOCKOUTS, None, SWEPT_MAX).await? {
        let lockout = serde_json::from_value::<Lockout>(record.value).ok();
        if lockout.is_none_or(|lockout| lockout.is_forgotten(now)) {
            over.push(Change::ForgetRecord { table: LOCKOUTS, key: record.key });
        }
    }
    let now_ms = now.unix_timestamp().saturating_mul(1000);
    for record in store.records(COUNTERS, Some(COUNTER_PREFIX), SWEPT_MAX).await? {
        let expires_ms = record.value["expires_ms"].as_i64().unwrap_or(0);
        if record.key.starts_with(COUNTER_PREFIX) && expires_ms < now_ms {
            over.push(Change::ForgetRecord { table: COUNTERS, key: record.key });
        }
    }
    if over.is_empty() {
        return Ok(());
    }
    store.commit(over).await.map(|_| ())
}

async fn known(store: &Store, address: &str) -> Result<(Option<Lockout>, Option<u64>), StoreError> {
    let record = store.record(LOCKOUTS, address).await?;
    let revision = record.as_ref().map(|record| record.revision);
    Ok((record.and_then(|record| serde_json::from_value(record.value).ok()), revision))
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(60 * 60);

    #[test]
    fn lockouts_double_up_to_a_day_and_are_forgotten() {
        let mut now = OffsetDateTime::UNIX_EPOCH;
        let mut lockout = None;
        for minutes in [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440] {
            let next = Lockout::after(lockout, now);
            assert_eq!(next.left(now), Some(minutes * MINUTE));
            now = next.until;
            assert_eq!(next.left(now), None);
            lockout = Some(next);
        }
        let calm = now + 24 * HOUR;
        assert_eq!(Lockout::after(lockout, calm).left(calm), Some(10 * MINUTE));
        let top = Lockout { level: u32::MAX, until: now };
        assert_eq!(Lockout::after(Some(top), now).left(now), Some(24 * HOUR));
    }

    #[test]
    fn an_address_is_locked_out_and_others_are_not() {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (store, _thread) = store::open_sled(folder.path()).unwrap();
            // Lockouts are kept to the second.
            let now = crate::clock::utc().truncate_to_second();
            for _ in 0..limits::CONSOLE_LOGINS_MAX {
                assert_eq!(admit(&store, "10.0.0.1", now).await.unwrap(), None);
            }
            for _ in 0..3 {
                let left = admit(&store, "10.0.0.1", now).await.unwrap();
                assert_eq!(left, Some(limits::CONSOLE_LOCKOUT_MIN), "it gets no longer by trying");
            }
            assert_eq!(admit(&store, "10.0.0.2", now).await.unwrap(), None);
            let later = now + limits::CONSOLE_LOCKOUT_MIN / 2;
            assert_eq!(
                admit(&store, "10.0.0.1", later).await.unwrap(),
                Some(limits::CONSOLE_LOCKOUT_MIN / 2)
            );
        });
    }

    #[test]
    fn what_is_over_is_swept() {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (store, _thread) = store::open_sled(folder.path()).unwrap();
            let now = crate::clock::utc();
            for _ in 0..=limits::CONSOLE_LOGINS_MAX {
                admit(&store, "10.0.0.1", now).await.unwrap();
            }
            let left = || async {
                let lockouts = store.records(LOCKOUTS, None, 10).await.unwrap().len();
                (lockouts, store.records(COUNTERS, None, 10).await.unwrap().len())
            };
            sweep(&store, now).await.unwrap();
            assert_eq!(left().await, (1, 1));
            sweep(&store, now + 2 * limits::CONSOLE_LOCKOUT_MAX).await.unwrap();
            assert_eq!(left().await, (0, 0));
        });
    }
}
