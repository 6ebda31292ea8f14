//! A limit on nesting, checked before a body is read lazily: the lazy reader skips values by recursion, so a client
//! could otherwise end the process with brackets alone.

use crate::limits::DEPTH_MAX;

/// Whether `body` is one value alone, as far as its brackets tell, and no part of it is nested deeper than
/// [`DEPTH_MAX`]. The lazy reader would not look at what follows the value. Brackets in strings do not count, and the
/// body need not be JSON.
#[must_use]
pub fn is_bounded(body: &[u8]) -> bool {
    scan(body, DEPTH_MAX) == Ok(true)
}

/// Whether no part of `body` is nested deeper than `depth_max`.
#[must_use]
pub fn is_within(body: &[u8], depth_max: usize) -> bool {
    scan(body, depth_max).is_ok()
}

/// Deeper than the limit.
#[derive(Debug, PartialEq, Eq)]
struct TooDeep;

/// Whether nothing but white space follows the end of the first object or array.
fn scan(body: &[u8], depth_max: usize) -> Result<bool, TooDeep> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let (mut ended, mut is_alone) = (false, true);
    for byte in body {
        is_alone &= !ended || byte.is_ascii_whitespace();
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > depth_max {
                    return Err(TooDeep);
                }
            }
            b']' | b'}' if !in_string => {
                depth = depth.saturating_sub(1);
                ended |= depth == 0;
            }
            _ => {}
        }
    }
    Ok(is_alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_strings() {
        let check =
            |body: String, expected| assert_eq!(is_within(body.as_bytes(), DEPTH_MAX), expected, "{body}");
        check("[".repeat(DEPTH_MAX), true);
        check("[".repeat(DEPTH_MAX + 1), false);
        check("[{".repeat(DEPTH_MAX), false);
        check("[]".repeat(1000), true);
        check(format!("\"{}\"", "[".repeat(1000)), true);
        check(format!("\"\\\"{}\"", "[".repeat(1000)), true);
        check(format!("\"\\\\\"{}", "[".repeat(1000)), false);
    }

    #[test]
    fn text_behind_a_value_is_noticed() {
        let check = |body: &str, expected| assert_eq!(is_bounded(body.as_bytes()), expected, "{body}");
        check("{}", true);
        check(" {\"q\": \"}\"} \r\n\t", true);
        check("{\"a\": [{}]}", true);
        check("{} x", false);
        check("{}}", false);
        check("{}{}", false);
        check("[1],", false);
        check("{\"q\": 1} \"", false);
        check("", true);
    }
}
