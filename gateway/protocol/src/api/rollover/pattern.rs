//! Patterns of names: literal text with dates and a number in it, such as `logs-{YYYY-MM-DD}`, `logs-%Y-%m-%d` and
//! `logs-{NNNNNN}`.
//!
//! Invariants: a pattern is checked once, and every name that it makes is the name of an index. Letters that mean
//! nothing are refused. Dates are those of UTC.

use std::fmt::Write as _;

use time::OffsetDateTime;

use crate::api::tasks::view::is_index_uid;

/// Bytes of a pattern.
pub const PATTERN_BYTES_MAX: usize = 200;
/// Digits of the number in a pattern.
pub const NUMBER_DIGITS_MAX: usize = 18;

/// The letters that mean something in braces and behind a percent sign (as in C's `strftime`), with what they stand for
/// and its digits; the longest first where one begins another.
const LETTERS: [(&str, char, Part, usize); 8] = [
    ("YYYY", 'Y', Part::Year, 4),
    ("GGGG", 'G', Part::WeekYear, 4),
    ("DDD", 'j', Part::DayOfYear, 3),
    ("MM", 'm', Part::Month, 2),
    ("DD", 'd', Part::Day, 2),
    ("HH", 'H', Part::Hour, 2),
    ("mm", 'M', Part::Minute, 2),
    ("WW", 'V', Part::Week, 2),
];

/// What stands between the letters inside braces.
const SEPARATORS: [char; 2] = ['-', '_'];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    WeekYear,
    Month,
    Day,
    DayOfYear,
    Week,
    Hour,
    Minute,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Date(Part, usize),
    /// The number of the rollover, with at least so many digits.
    Number(usize),
}

/// A pattern that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("it has {} bytes, and {PATTERN_BYTES_MAX} are allowed", text.len()));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, from)) = rest.split_once('{') {
            text_with_percents(before, &mut pieces)?;
            let Some((inside, after)) = from.split_once('}') else {
                return Err("a `{` in it is never closed".to_owned());
            };
            placeholder(inside, &mut pieces)?;
            rest = after;
        }
        text_with_percents(rest, &mut pieces)?;
        let pattern = Self(pieces);
        if !pattern.0.iter().any(|piece| !matches!(piece, Piece::Text(_))) {
            return Err("it has no date and no number in it, so all its names would be the same".to_owned());
        }
        let example = pattern.name(OffsetDateTime::UNIX_EPOCH, 1);
        match is_index_uid(&example) {
            true => Ok(pattern),
            false => Err(format!("it makes names such as `{example}`, which no index can have")),
        }
    }

    /// The name for a moment and the number of a rollover.
    #[must_use]
    pub fn name(&self, now: OffsetDateTime, number: u64) -> String {
        let mut name = String::new();
        for piece in &self.0 {
            // Nothing fails to be written to a text.
            let _ = match piece {
                Piece::Text(text) => name.write_str(text),
                Piece::Date(part, width) => write!(name, "{:0width$}", part.of(now)),
                Piece::Number(width) => write!(name, "{number:0width$}"),
            };
        }
        name
    }

    /// Whether the pattern may have made a name, also with the mark behind it that tells equal names apart.
    #[must_use]
    pub fn may_have_made(&self, name: &str) -> bool {
        let mut rest = name;
        for piece in &self.0 {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let taken = match piece {
                Piece::Text(text) if rest.starts_with(text.as_str()) => text.len(),
                Piece::Date(_, width) if digits >= *width => *width,
                Piece::Number(width) if digits >= *width => digits,
                Piece::Text(_) | Piece::Date(..) | Piece::Number(_) => return false,
            };
            rest = &rest[taken..];
        }
        let mark = rest.strip_prefix('-').unwrap_or("x");
        rest.is_empty() || (!mark.is_empty() && mark.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// Reads what stands outside braces.
fn text_with_percents(text: &str, pieces: &mut Vec<Piece>) -> Result<(), String> {
    let mut parts = text.split('%');
    let before = parts.next().unwrap_or_default();
    if !before.is_empty() {
        pieces.push(Piece::Text(before.to_owned()));
    }
    for part in parts {
        let mut letters = part.chars();
        let letter = letters.next();
        let Some((_, _, date, width)) = LETTERS.iter().find(|known| Some(known.1) == letter) else {
            let known = LETTERS.map(|known| format!("`%{}`", known.1)).join(", ");
            let unknown = letter.map(String::from).unwrap_or_default();
            return Err(format!("`%{unknown}` in it means nothing; allowed are {known}"));
        };
        pieces.push(Piece::Date(*date, *width));
        if !letters.as_str().is_empty() {
            pieces.push(Piece::Text(letters.as_str().to_owned()));
        }
    }
    Ok(())
}

/// Reads what stands inside braces.
fn placeholder(inside: &str, pieces: &mut Vec<Piece>) -> Result<(), String> {
    if inside.is_empty() {
        return Err("`{}` in it is empty".to_owned());
    }
    if inside.bytes().all(|byte| byte == b'N' || byte == b'n') {
        if inside.len() > NUMBER_DIGITS_MAX {
            return Err(format!("a number in it has more than {NUMBER_DIGITS_MAX} digits"));
        }
        pieces.push(Piece::Number(inside.len()));
        return Ok(());
    }
    let mut rest = inside;
    while let Some(first) = rest.chars().next() {
        if SEPARATORS.contains(&first) {
            pieces.push(Piece::Text(first.to_string()));
            rest = &rest[first.len_utf8()..];
        } else if let Some((letters, _, part, width)) = LETTERS.iter().find(|known| rest.starts_with(known.0))
        {
            pieces.push(Piece::Date(*part, *width));
            rest = &rest[letters.len()..];
        } else {
            let known = LETTERS.map(|(letters, _, _, _)| format!("`{letters}`")).join(", ");
            return Err(format!(
                "`{{{inside}}}` has `{rest}`, which means nothing; allowed are {known}, `-`, `_`, and `N` once for each digit of a number"
            ));
        }
    }
    Ok(())
}

impl Part {
    fn of(self, now: OffsetDateTime) -> i64 {
        let (week_year, week, _) = now.to_iso_week_date();
        match self {
            Self::Year => i64::from(now.year()),
            Self::WeekYear => i64::from(week_year),
            Self::Month => i64::from(u8::from(now.month())),
            Self::Day => i64::from(now.day()),
            Self::DayOfYear => i64::from(now.ordinal()),
            Self::Week => i64::from(week),
            Self::Hour => i64::from(now.hour()),
            Self::Minute => i64::from(now.minute()),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2027-01-02 03:04:05 UTC);

    #[test]
    fn names_have_the_date_and_the_number() {
        let check = |pattern: &str, expected: &str| {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern.name(NOW, 7), expected);
            assert!(pattern.may_have_made(expected), "{expected}");
            assert!(pattern.may_have_made(&format!("{expected}-2")), "{expected}-2");
            for other in
                [format!("x{expected}"), format!("{expected}-"), format!("{expected}-x"), String::new()]
            {
                assert!(!pattern.may_have_made(&other), "{other}");
            }
        };
        check("logs-{YYYY-MM-DD}", "logs-2027-01-02");
        check("logs-{YYYY}{MM}{DD}T{HH}{mm}", "logs-20270102T0304");
        check("logs-{YYYYMMDD}-{N}", "logs-20270102-7");
        check("{NNNNNN}", "000007");
        check("w_{GGGG_WW}", "w_2026_53");
        check("d-{YYYY}-{DDD}", "d-2027-002");
        check("logs-%Y-%m-%dT%H%M_{NN}", "logs-2027-01-02T0304_07");
        assert_eq!(Pattern::parse("a{nn}").unwrap().name(NOW, 12_345), "a12345");
    }

    #[test]
    fn bad_patterns_say_what_is_wrong() {
        for (pattern, words) in [
            ("logs", "no date"),
            ("logs-{YYYY", "never closed"),
            ("logs-{}", "empty"),
            ("logs-{YYYY-QQ}", "`QQ`"),
            ("logs-{yyyy}", "`yyyy`"),
            ("logs-{YYYY.MM}", "`.MM`"),
            ("logs {YYYY}", "no index"),
            ("logs.{YYYY}", "no index"),
            ("logs-%Q", "`%Q`"),
            ("logs-%Y%", "`%`"),
            ("{NNNNNNNNNNNNNNNNNNN}", "digits"),
        ] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert!(error.contains(words), "{pattern}: {error}");
        }
        assert!(Pattern::parse(&format!("{}{{N}}", "a".repeat(PATTERN_BYTES_MAX))).is_err());
    }
}
