//! A limit on nesting, checked before a body is read lazily: the lazy reader skips values by recursion, so a client
//! could otherwise end the process with brackets alone.

use crate::limits::DEPTH_MAX;

/// Whether no part of `body` is nested deeper than [`DEPTH_MAX`]. Brackets in strings do not count, and the body need
/// not be JSON.
#[must_use]
pub fn is_bounded(body: &[u8]) -> bool {
    is_within(body, DEPTH_MAX)
}

/// The same for another limit.
pub fn is_within(body: &[u8], depth_max: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > depth_max {
                    return false;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_strings() {
        let check = |body: String, expected| assert_eq!(is_bounded(body.as_bytes()), expected, "{body}");
        check("[".repeat(DEPTH_MAX), true);
        check("[".repeat(DEPTH_MAX + 1), false);
        check("[{".repeat(DEPTH_MAX), false);
        check("[]".repeat(1000), true);
        check(format!("\"{}\"", "[".repeat(1000)), true);
        check(format!("\"\\\"{}\"", "[".repeat(1000)), true);
        check(format!("\"\\\\\"{}", "[".repeat(1000)), false);
    }
}
