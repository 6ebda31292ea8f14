//! Secrets in settings as a node shows them: the beginning of a long one, and nothing of a short one.
//!
//! Invariant: no more than five bytes of a secret are ever shown. Source: the answers of Meilisearch 1.15 to 1.50.

use serde_json::Value;

/// Members of settings that hold secrets.
const SECRET: [&str; 1] = ["apiKey"];

/// A secret as it is shown.
#[must_use]
pub fn hidden(secret: &str) -> String {
    let (shown, marks) = match secret.len() {
        0..10 => (0, "XXX"),
        10..20 => (2, "XXXX"),
        20..30 => (3, "XXXXX"),
        _ => (5, "XXXXXX"),
    };
    let shown = (0..=shown).rev().find(|end| secret.is_char_boundary(*end)).unwrap_or(0);
    format!("{}{marks}...", &secret[..shown])
}

/// Hides the secrets in a value, at any depth.
pub fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str().filter(|_| SECRET.contains(&name.as_str())) {
                    Some(secret) => *member = hidden(secret).into(),
                    None => hide(member),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn little_of_a_secret_is_shown() {
        for (secret, shown) in [
            ("", "XXX..."),
            ("123456789", "XXX..."),
            ("1234567890", "12XXXX..."),
            ("12345678901234567890", "123XXXXX..."),
            ("123456789012345678901234567890", "12345XXXXXX..."),
            ("éééééééééééééééé", "ééXXXXXX..."),
        ] {
            assert_eq!(hidden(secret), shown, "{secret}");
        }
        let mut settings = json!({"embedders": {"a": {"apiKey": "secret", "model": "m"}}, "apiKey": null});
        hide(&mut settings);
        assert_eq!(settings, json!({"embedders": {"a": {"apiKey": "XXX...", "model": "m"}}, "apiKey": null}));
    }
}
