//! The time of this machine, and dates as the gateway writes them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch by this machine's clock.
pub(crate) fn seconds_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Seconds since the epoch of a date of RFC 3339 in UTC, such as `2026-01-31T23:59:59.5Z`; `None` for other texts.
pub(crate) fn seconds_of(date: &str) -> Option<i64> {
    let (day, time) = date.split_once('T')?;
    let numbers = |text: &str, between: char| {
        text.split(between).map(|part| part.parse::<i64>().ok()).collect::<Option<Vec<_>>>()
    };
    let [year, month, day] = numbers(day, '-')?.try_into().ok()?;
    let time = time.strip_suffix('Z')?.split('.').next()?;
    let [hour, minute, second] = numbers(time, ':')?.try_into().ok()?;
    // Days from the civil date, with years that begin in March, so that the leap day is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        let check = |date: &str, expected: Option<i64>| assert_eq!(seconds_of(date), expected, "{date}");
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-02-29T12:00:00.123456789Z", Some(951_825_600));
        check("2026-11-30T09:00:00Z", Some(1_796_029_200));
        check("2026-11-30", None);
        check("2026-11-30T09:00:00+01:00", None);
        check("yesterday", None);
    }
}
