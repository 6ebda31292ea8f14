//! The `Date` header's value, written once a second on each core.
//! Source: RFC 9110, sections 5.6.7 and 6.6.1.

use std::{cell::Cell, time::UNIX_EPOCH};

use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::clock;

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
const BYTES: usize = 29;

thread_local! {
    /// The seconds since the epoch, and their text.
    static WRITTEN: Cell<(u64, [u8; BYTES])> = const { Cell::new((u64::MAX, [b' '; BYTES])) };
}

/// The present time.
pub(crate) fn now() -> [u8; BYTES] {
    let seconds = clock::wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (written, text) = WRITTEN.get();
    if written == seconds {
        return text;
    }
    let text = format(seconds);
    WRITTEN.set((seconds, text));
    text
}

fn format(seconds: u64) -> [u8; BYTES] {
    let moment =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let text = moment.and_then(|moment| moment.format(FORMAT).ok()).unwrap_or_default();
    text.into_bytes().try_into().unwrap_or(*b"Thu, 01 Jan 1970 00:00:00 GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_of_the_fixed_length_form() {
        assert_eq!(&format(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&format(u64::MAX), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(now().len(), BYTES);
    }
}
