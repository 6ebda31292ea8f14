//! The options of the passes that compare copies: when they begin, how much one does, and how they read.
//!
//! Invariant: a schedule takes the place of the interval, so that a pass never has two reasons to begin.

use std::time::Duration;

use chrono::DateTime;
use croner::{Cron, parser::CronParser};
use time::OffsetDateTime;

use super::limits::{
    ANTI_ENTROPY_INTERVAL_DEFAULT, FINGERPRINT_BATCH_DEFAULT, PASS_READS_DEFAULT, PASS_READS_MAX,
    REPAIR_PAGE_DOCUMENTS_MAX, SHARDS_MAX,
};
use super::options::RawOptions;
use super::value::Allowed;
use super::{ConfigError, option, switch, value};

/// The options together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassConfig {
    /// From the end of one periodic pass to the next.
    pub interval: Duration,
    /// When periodic passes begin instead.
    pub schedule: Option<Schedule>,
    /// Shards after which a periodic pass ends; the next one goes on there. `None`: all of them.
    pub shards_max: Option<u32>,
    /// Copies of a shard that are read at the same time, from 1.
    pub reads_max: usize,
    /// Documents of one request.
    pub batch: usize,
    /// Whether periodic passes repair what they find.
    pub repairs: bool,
}

/// Moments at which passes begin, in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Cron);

impl PassConfig {
    pub(crate) fn validate(raw: &RawOptions) -> Result<Self, ConfigError> {
        let interval = &raw.anti_entropy_interval;
        let shards = option("anti-entropy-shards-per-pass", &raw.anti_entropy_shards_per_pass, 0, |text| {
            value::whole(text, 0..=SHARDS_MAX)
        })?;
        let reads = &raw.anti_entropy_max_read_concurrency;
        let batch = &raw.anti_entropy_fingerprint_batch_size;
        Ok(Self {
            interval: option(
                "anti-entropy-interval",
                interval,
                ANTI_ENTROPY_INTERVAL_DEFAULT,
                value::interval,
            )?,
            schedule: option("anti-entropy-schedule-cron", &raw.anti_entropy_schedule_cron, None, schedule)?,
            shards_max: (shards > 0).then_some(shards),
            reads_max: option("anti-entropy-max-read-concurrency", reads, PASS_READS_DEFAULT, |text| {
                value::whole(text, 1..=PASS_READS_MAX)
            })?,
            batch: option("anti-entropy-fingerprint-batch-size", batch, FINGERPRINT_BATCH_DEFAULT, |text| {
                value::whole(text, 1..=REPAIR_PAGE_DOCUMENTS_MAX)
            })?,
            repairs: switch("anti-entropy-auto-repair", &raw.anti_entropy_auto_repair)?,
        })
    }
}

/// Reads five fields of cron, or `off`.
fn schedule(text: &str) -> Result<Option<Schedule>, Allowed> {
    if text == "off" {
        return Ok(None);
    }
    let is_plain = text.split_whitespace().count() == 5;
    let read = CronParser::new().parse(text).ok().filter(|_| is_plain);
    let schedule = read.map(Schedule).filter(|schedule| schedule.after(OffsetDateTime::UNIX_EPOCH).is_some());
    schedule.map(Some).ok_or_else(|| {
        "give minute, hour, day, month and weekday in UTC that come, for example \"0 */6 * * *\", or off"
            .to_owned()
    })
}

impl Schedule {
    /// The first moment of the schedule after another one.
    #[must_use]
    pub fn after(&self, moment: OffsetDateTime) -> Option<OffsetDateTime> {
        let moment = DateTime::from_timestamp(moment.unix_timestamp(), 0)?;
        let next = self.0.find_next_occurrence(&moment, false).ok()?;
        OffsetDateTime::from_unix_timestamp(next.timestamp()).ok()
    }

    /// The text that it was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_says_when_the_next_pass_begins() {
        let moment = |hours: i64| OffsetDateTime::UNIX_EPOCH + time::Duration::hours(hours);
        let read = |text: &str| schedule(text).unwrap().unwrap();
        assert_eq!(read("0 */6 * * *").after(moment(6)), Some(moment(12)));
        assert_eq!(read("0 */6 * * *").after(moment(13)), Some(moment(18)));
        // 1970 began on a Thursday.
        assert_eq!(read("30 2 * * 6").after(moment(0)), Some(moment(50) + time::Duration::minutes(30)));
        assert_eq!(schedule("off"), Ok(None));
    }

    #[test]
    fn what_never_comes_or_has_other_fields_is_refused() {
        for text in ["", "hourly", "* * * *", "0 0 */6 * * *", "0 25 * * *", "0 0 31 2 *", "@daily"] {
            assert!(schedule(text).is_err(), "{text:?}");
        }
    }
}
