//! Combines filters: the client's, a tenant's and a leg's, all of which must hold.
//!
//! Invariant: the result is never wider than any of its parts. A filter is copied as raw JSON and not read, so a node
//! judges it.

use serde_json::value::RawValue;

/// Joins the client's filter (raw JSON: a string or an array) and a shard filter; both must hold.
#[must_use]
pub fn combine_filters(filter: Option<&str>, shard_filter: Option<&str>) -> Option<String> {
    let Some(shard_filter) = shard_filter else { return filter.map(str::to_owned) };
    let own = sonic_rs::to_string(shard_filter).unwrap_or_default();
    Some(match filter.map(str::trim) {
        None | Some("null") => own,
        Some(array) if array.starts_with('[') => {
            let inner = array[1..array.len() - 1].trim();
            // The outer array of a filter is a conjunction.
            if inner.is_empty() { format!("[{own}]") } else { format!("[{inner},{own}]") }
        }
        // An empty string is not a filter.
        Some(string) if string.trim_matches('"').trim().is_empty() => own,
        Some(string) => format!("[{string},{own}]"),
    })
}

/// Joins the client's filter and that of a tenant's search rules, both raw JSON; both must hold.
#[must_use]
pub fn narrow(filter: Option<&str>, rules: String) -> String {
    match filter {
        None => rules,
        Some(filter) => format!("[{}]", [members(filter), members(&rules)].concat().join(",")),
    }
}

/// The members of a filter's outer conjunction; a filter that is not an array is one member.
fn members(filter: &str) -> Vec<String> {
    match serde_json::from_str::<Vec<&RawValue>>(filter) {
        Ok(members) => members.into_iter().map(|member| member.get().to_owned()).collect(),
        Err(_) => vec![filter.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tenant_may_see_narrows_every_filter() {
        let check = |filter: Option<&str>, rules: &str, expected: &str| {
            assert_eq!(narrow(filter, rules.to_owned()), expected, "{filter:?} {rules}");
        };
        check(None, r#""t = 1""#, r#""t = 1""#);
        check(Some(r#""a = 1 OR b = 2""#), r#""t = 1""#, r#"["a = 1 OR b = 2","t = 1"]"#);
        check(Some(r#"["a = 1",["b","c"]]"#), r#"["t = 1"]"#, r#"["a = 1",["b","c"],"t = 1"]"#);
        check(Some("[]"), r#"[["t = 1","t = 2"]]"#, r#"[["t = 1","t = 2"]]"#);
        check(Some(r#""""#), r#""t = 1""#, r#"["","t = 1"]"#);
        check(Some(r#"["a]","[b"]"#), r#""t""#, r#"["a]","[b","t"]"#);
        check(Some(r#""a""#), "7", r#"["a",7]"#);
    }
}
