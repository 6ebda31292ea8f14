//! Values in words: texts, numbers, sizes, times and states, with colours.
//!
//! Invariant: what comes from the gateway cannot steer a terminal.

use serde_json::Value;

/// A colour as terminals take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
    Bold,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::Red => "\u{1b}[31m",
            Self::Green => "\u{1b}[32m",
            Self::Yellow => "\u{1b}[33m",
            Self::Bold => "\u{1b}[1m",
        }
    }
}

/// The text in a colour. What is printed elsewhere than on a terminal goes through [`plain`].
pub(crate) fn painted(colour: Colour, text: &str) -> String {
    format!("{}{text}\u{1b}[0m", colour.code())
}

/// The text without colours.
pub(crate) fn plain(text: &str) -> String {
    let mut rest = text;
    let mut plain = String::with_capacity(text.len());
    while let Some(at) = rest.find("\u{1b}[") {
        plain.push_str(&rest[..at]);
        rest = rest[at..].split_once('m').map_or("", |(_, behind)| behind);
    }
    plain + rest
}

/// A value in one line; `-` for none.
pub(crate) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.chars().map(|char| if char.is_control() { '?' } else { char }).collect(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(values) => {
            let words = values.iter().map(word).collect::<Vec<_>>();
            if words.is_empty() { "-".to_owned() } else { words.join(" ") }
        }
        other @ (Value::Number(_) | Value::Object(_)) => other.to_string(),
    }
}

/// A state of a node, a task or an operation, in the colour of news of its kind.
pub(crate) fn state(value: &Value) -> String {
    let text = word(value);
    let colour = match text.as_str() {
        "up" | "healthy" | "ready" | "active" | "succeeded" | "equal" | "ok" => Colour::Green,
        "down" | "failed" | "aborted" | "missing" | "dead" => Colour::Red,
        "-" => return text,
        _ => Colour::Yellow,
    };
    painted(colour, &text)
}

/// A number of bytes in the unit that suits it; `-` for none.
pub(crate) fn bytes(value: &Value) -> String {
    let Some(bytes) = value.as_f64() else { return word(value) };
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = bytes;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{scaled:.0} {}", units[unit]),
        _ => format!("{scaled:.1} {}", units[unit]),
    }
}

/// A duration of seconds as `3h 5m`; `-` for none.
pub(crate) fn seconds(value: &Value) -> String {
    let Some(seconds) = value.as_f64() else { return word(value) };
    match seconds {
        _ if seconds < 1.0 => format!("{:.0}ms", seconds * 1000.0),
        _ if seconds < 60.0 => format!("{seconds:.0}s"),
        _ if seconds < 3600.0 => format!("{:.0}m {:.0}s", (seconds / 60.0).floor(), seconds % 60.0),
        _ => format!("{:.0}h {:.0}m", (seconds / 3600.0).floor(), (seconds % 3600.0 / 60.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_in_words() {
        let check = |shown: String, expected: &str| assert_eq!(shown, expected);
        check(word(&json!(null)), "-");
        check(word(&json!(["a", 1, true])), "a 1 yes");
        check(word(&json!("a\u{1b}[2Jb")), "a?[2Jb");
        check(bytes(&json!(1023)), "1023 B");
        check(bytes(&json!(1536)), "1.5 KiB");
        check(bytes(&json!(null)), "-");
        check(seconds(&json!(0.25)), "250ms");
        check(seconds(&json!(61)), "1m 1s");
        check(seconds(&json!(7320)), "2h 2m");
        check(plain(&format!("a {} b", state(&json!("down")))), "a down b");
    }
}
