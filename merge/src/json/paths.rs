//! Attribute paths in raw documents: the values below a path, and the part of a document that a list selects.
//!
//! - A path names nested members with dots and passes through arrays. A member whose own name contains dots is found by
//!   that name too.
//! - Selecting follows `attributesToRetrieve` on nodes (crate permissive-json-pointer of Meilisearch): parents of a
//!   selected path stay even if they become empty; array elements stay if anything in them was selected.

use std::borrow::Cow;

use crate::json::{Elements, Members, unescape, write_string};

/// Calls `visit` with every raw value at `path` that is neither an object nor an array.
pub(crate) fn values_at<'a>(object: &'a str, path: &str, visit: &mut dyn FnMut(&'a str)) {
    for member in Members::of(object).into_iter().flatten() {
        let key = unescape(member.key);
        match below(path, &key) {
            Some("") => leaves(member.value, visit),
            Some(rest) => descend(member.value, rest, visit),
            None => {}
        }
    }
}

fn descend<'a>(value: &'a str, path: &str, visit: &mut dyn FnMut(&'a str)) {
    if value.starts_with('{') {
        return values_at(value, path, visit);
    }
    for element in Elements::of(value) {
        descend(element, path, visit);
    }
}

fn leaves<'a>(value: &'a str, visit: &mut dyn FnMut(&'a str)) {
    match value.as_bytes().first() {
        Some(b'[') => Elements::of(value).for_each(|element| leaves(element, visit)),
        Some(b'{') | None => {}
        Some(_) => visit(value),
    }
}

/// The part of `path` below the member `key`: empty if `key` is the whole path, `None` if the path lies elsewhere.
pub(crate) fn below<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(key)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

/// Appends the part of `object` that `selected` names.
pub(crate) fn select(object: &str, selected: &[Cow<'_, str>], out: &mut Vec<u8>) {
    out.push(b'{');
    let start = out.len();
    for member in Members::of(object).into_iter().flatten() {
        select_member(member.key, member.value, selected, start, out);
    }
    out.push(b'}');
}

/// Appends the part that `selected` names of one member of an object whose content began at `start`.
pub(crate) fn select_member(
    raw_key: &str,
    value: &str,
    selected: &[Cow<'_, str>],
    start: usize,
    out: &mut Vec<u8>,
) {
    let key = unescape(raw_key);
    let mut whole = false;
    let mut inside = Vec::new();
    for path in selected {
        match below(path, &key) {
            Some("") => whole = true,
            Some(rest) => inside.push(Cow::Borrowed(rest)),
            None => {}
        }
    }
    let composite = value.starts_with('{') || value.starts_with('[');
    if !whole && (inside.is_empty() || !composite) {
        return;
    }
    if out.len() > start {
        out.push(b',');
    }
    write_string(&key, out);
    out.push(b':');
    if whole {
        out.extend_from_slice(value.as_bytes());
    } else if value.starts_with('{') {
        select(value, &inside, out);
    } else {
        select_elements(value, &inside, out);
    }
}

fn select_elements(array: &str, selected: &[Cow<'_, str>], out: &mut Vec<u8>) {
    out.push(b'[');
    let start = out.len();
    for element in Elements::of(array) {
        let before = out.len();
        if before > start {
            out.push(b',');
        }
        let value_at = out.len();
        if element.starts_with('{') {
            select(element, selected, out);
            if out.len() == value_at + 2 {
                out.truncate(before);
            }
        } else if element.starts_with('[') {
            select_elements(element, selected, out);
        } else {
            out.truncate(before);
        }
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_below_paths() {
        let document =
            r#"{"a":{"b":1,"c":[{"d":"x"},{"d":["y",null]},7]},"a.b":"dotted","e":[[1],2,{"f":3}]}"#;
        let check = |path: &str, expected: &[&str]| {
            let mut found = Vec::new();
            values_at(document, path, &mut |value| found.push(value));
            assert_eq!(found, expected, "{path}");
        };
        check("a.b", &["1", "\"dotted\""]);
        check("a.c.d", &["\"x\"", "\"y\"", "null"]);
        check("a", &[]);
        check("e", &["1", "2"]);
        check("e.f", &["3"]);
        check("nope", &[]);
    }

    #[test]
    fn lists_select_parts() {
        let document =
            r#"{"id":1,"a":{"b":1,"c":{"d":2}},"list":[{"x":1,"y":2},{"y":3},4,[{"x":5}]],"z\"":0}"#;
        let check = |selected: &[&str], expected: &str| {
            let selected = selected.iter().map(|path| Cow::Borrowed(*path)).collect::<Vec<_>>();
            let mut out = Vec::new();
            select(document, &selected, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{selected:?}");
        };
        check(&["id"], r#"{"id":1}"#);
        check(&["a.b", "z\""], r#"{"a":{"b":1},"z\"":0}"#);
        check(&["a.nope", "id.nope"], r#"{"a":{}}"#);
        check(&["list.x"], r#"{"list":[{"x":1},[{"x":5}]]}"#);
        check(&["a.c", "a.c.d"], r#"{"a":{"c":{"d":2}}}"#);
        check(&[], "{}");
    }
}
