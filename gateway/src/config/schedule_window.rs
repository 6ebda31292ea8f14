//! Hours of the day in which long work may begin.
//!
//! Invariant: a window opens once a day; one whose end is not after its beginning goes past midnight. Times are UTC.

use std::fmt;

/// Minutes of a day.
const DAY: u32 = 24 * 60;

/// Hours of the day with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleWindow {
    pub name: String,
    /// Minutes after midnight.
    from: u32,
    until: u32,
}

impl ScheduleWindow {
    /// Reads `NAME=HH:MM-HH:MM`.
    ///
    /// # Errors
    /// What is allowed, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = || "give NAME=HH:MM-HH:MM in UTC, for example off-peak=22:00-06:00".to_owned();
        let (name, hours) = text.split_once('=').ok_or_else(allowed)?;
        let (from, until) = hours.split_once('-').ok_or_else(allowed)?;
        let is_named = !name.is_empty() && name.len() <= 64;
        let is_plain =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
        match (minutes(from), minutes(until)) {
            (Some(from), Some(until)) if is_named && is_plain && from != until => {
                Ok(Self { name: name.to_owned(), from, until })
            }
            _ => Err(allowed()),
        }
    }

    /// Minutes until it is open, at a minute of the day; 0 while it is.
    #[must_use]
    pub fn opens_in(&self, minute: u32) -> u32 {
        let lasts = (self.until + DAY - self.from) % DAY;
        let since = (minute + DAY - self.from) % DAY;
        if since < lasts { 0 } else { DAY - since }
    }
}

impl fmt::Display for ScheduleWindow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (self.from, self.until);
        let hours = [from / 60, from % 60, until / 60, until % 60];
        write!(formatter, "{}={:02}:{:02}-{:02}:{:02}", self.name, hours[0], hours[1], hours[2], hours[3])
    }
}

fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, below: u32| {
        let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|number| is_plain && *number < below)
    };
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_go_past_midnight() {
        let check = |text: &str, minute: u32, expected: u32| {
            let window = ScheduleWindow::parse(text).unwrap();
            assert_eq!((window.opens_in(minute), window.to_string().as_str()), (expected, text), "{minute}");
        };
        check("off-peak=22:00-06:00", 22 * 60, 0);
        check("off-peak=22:00-06:00", 5 * 60 + 59, 0);
        check("off-peak=22:00-06:00", 6 * 60, 16 * 60);
        check("noon=12:00-13:30", 13 * 60 + 29, 0);
        check("noon=12:00-13:30", 11 * 60 + 59, 1);
        check("noon=12:00-13:30", 13 * 60 + 30, DAY - 90);
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in [
            "",
            "a",
            "=22:00-06:00",
            "a=22:00",
            "a=22-6",
            "a=24:00-06:00",
            "a=1:00-2:00",
            "a b=01:00-02:00",
            "a=01:00-01:00",
        ] {
            assert!(ScheduleWindow::parse(text).is_err(), "{text}");
        }
    }
}
