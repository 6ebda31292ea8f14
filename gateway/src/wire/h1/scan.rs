//! Finds the end of a head while its bytes arrive, and refuses what no head may contain.
//!
//! Invariants: every byte is scanned once, however slowly it comes. A line ends with CR LF and with nothing else. No
//! line continues the one before. Sizes and counts are checked as soon as they are exceeded. Source of the rules: RFC
//! 9112, sections 2.2, 3, 5 and 5.2.

use memchr::memchr;

/// Bounds of one head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of the request or status line.
    pub start_line_bytes_max: usize,
    /// Bytes of the start line, the fields and the empty line together.
    pub head_bytes_max: usize,
    /// The number of fields.
    pub fields_max: usize,
}

/// Why a head is refused before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadError {
    StartLineTooLong,
    TooLarge,
    TooManyFields,
    Malformed(&'static str),
}

/// The progress of a scan.
#[derive(Debug, Default)]
pub(crate) struct HeadScanner {
    line_start: usize,
    searched: usize,
    lines: usize,
    start_line_end: Option<usize>,
}

impl HeadScanner {
    /// The end of the start line without its CR LF, once the line is complete.
    pub(crate) fn start_line_end(&self) -> Option<usize> {
        self.start_line_end
    }

    /// Continues with `received`, which only grows between calls. Gives the length of the head, its empty line
    /// included, once the head is complete.
    pub(crate) fn scan(&mut self, received: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HeadError> {
        while let Some(found) = memchr(b'\n', &received[self.searched..]) {
            let end = self.searched + found;
            let line = &received[self.line_start..end];
            self.searched = end + 1;
            check_line(line)?;
            self.check_bounds(self.searched, limits)?;
            if line == b"\r" {
                return Ok(Some(self.searched));
            }
            self.start_line_end.get_or_insert(end - 1);
            self.line_start = self.searched;
            self.lines += 1;
        }
        self.searched = received.len();
        self.check_bounds(self.searched, limits)?;
        Ok(None)
    }

    fn check_bounds(&self, end: usize, limits: &HeadLimits) -> Result<(), HeadError> {
        // CR LF do not count.
        if self.lines == 0 && end > limits.start_line_bytes_max + 2 {
            return Err(HeadError::StartLineTooLong);
        }
        if end > limits.head_bytes_max {
            return Err(HeadError::TooLarge);
        }
        // The line that has begun is a field, unless it is the empty one.
        if self.lines > limits.fields_max && end - self.line_start > 2 {
            return Err(HeadError::TooManyFields);
        }
        Ok(())
    }
}

/// Checks a line without its line feed.
fn check_line(line: &[u8]) -> Result<(), HeadError> {
    match memchr(b'\r', line) {
        Some(at) if at + 1 == line.len() => {}
        Some(_) => return Err(HeadError::Malformed("a carriage return inside of a line")),
        None => return Err(HeadError::Malformed("a line feed without a carriage return")),
    }
    match line.first() {
        Some(b' ' | b'\t') => Err(HeadError::Malformed("a line that begins with white space")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { start_line_bytes_max: 10, head_bytes_max: 40, fields_max: 2 };

    fn check(bytes: &[u8], expected: Result<Option<usize>, HeadError>) {
        assert_eq!(HeadScanner::default().scan(bytes, &LIMITS), expected, "{:?}", bytes.escape_ascii());
        // Byte by byte nothing is found earlier, later or differently.
        let mut scanner = HeadScanner::default();
        let mut slow = Ok(None);
        for end in 0..=bytes.len() {
            slow = scanner.scan(&bytes[..end], &LIMITS);
            if slow != Ok(None) {
                break;
            }
        }
        assert_eq!(slow, expected, "slowly: {:?}", bytes.escape_ascii());
    }

    #[test]
    fn heads_end_with_an_empty_line() {
        check(b"", Ok(None));
        check(b"GET", Ok(None));
        check(b"GET /\r\n\r", Ok(None));
        check(b"GET /\r\n\r\n", Ok(Some(9)));
        check(b"GET /\r\na: b\r\nc: d\r\n\r\nmore", Ok(Some(21)));
        check(b"0123456789\r\n\r\n", Ok(Some(14)));
    }

    #[test]
    fn what_no_head_may_look_like_is_refused() {
        check(b"GET /\n", Err(HeadError::Malformed("a line feed without a carriage return")));
        check(b"GET\r /\r\n", Err(HeadError::Malformed("a carriage return inside of a line")));
        check(b"GET /\r\n a: b\r\n", Err(HeadError::Malformed("a line that begins with white space")));
        check(b"01234567890\r\n", Err(HeadError::StartLineTooLong));
        check(b"a\r\nb:c\r\nb:c\r\nb:c\r\n\r\n", Err(HeadError::TooManyFields));
        check(&[b"a\r\n".as_slice(), &[b'x'; 40]].concat(), Err(HeadError::TooLarge));
    }
}
