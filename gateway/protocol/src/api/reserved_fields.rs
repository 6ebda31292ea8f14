//! Reserved names in clients' questions: for clients, these fields do not exist.
//!
//! Invariant: a question that names a reserved field reaches nodes with a name that no document has, so that it is
//! answered, or refused, as by a node without the field. Search terms stay as they are. Messages get the client's own
//! name back (`merge::strip_message`).

use bytes::Bytes;
use serde_json::Value;

/// Members whose text is searched for in documents, and functions, which nodes run.
const LOOKED_FOR: [&str; 4] = ["q", "facetQuery", "function", "context"];

/// Replaces every reserved name in the JSON body of a question.
#[must_use]
pub fn conceal(body: Bytes) -> Bytes {
    let prefix = router::reserved::PREFIX.as_bytes();
    if !body.windows(prefix.len()).any(|part| part == prefix) {
        return body;
    }
    match serde_json::from_slice::<Value>(&body) {
        Ok(mut value) => {
            replace(&mut value);
            value.to_string().into()
        }
        Err(_) => body,
    }
}

fn replace(value: &mut Value) {
    if let Some(text) = value.as_str() {
        if text.contains(router::reserved::PREFIX) {
            *value = Value::String(text.replace(router::reserved::PREFIX, merge::STAND_IN));
        }
    } else if let Some(values) = value.as_array_mut() {
        values.iter_mut().for_each(replace);
    } else if let Some(members) = value.as_object_mut() {
        let searched = |(name, _): &(&String, &mut Value)| !LOOKED_FOR.contains(&name.as_str());
        members.iter_mut().filter(searched).for_each(|(_, value)| replace(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_reach_no_node() {
        let check = |body: &'static str, expected: &str| {
            assert_eq!(conceal(Bytes::from_static(body.as_bytes())), expected.as_bytes(), "{body}");
        };
        check(r#"{"filter": "a = 1"}"#, r#"{"filter": "a = 1"}"#);
        check(
            r#"{"q":"_miroir_shard","filter":["a",["_miroir_shard = 1"]]}"#,
            r#"{"q":"_miroir_shard","filter":["a",["_mirrir_shard = 1"]]}"#,
        );
        check(r#"{"filter":"_miroir_"#, r#"{"filter":"_miroir_"#);
        assert_eq!(merge::STAND_IN.len(), router::reserved::PREFIX.len(), "messages point at columns");
        assert_eq!(merge::strip_message("No `_mirrir_shard`."), "No `_miroir_shard`.");
    }
}
