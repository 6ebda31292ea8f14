//! Single hits: fields looked up by their path, hits written anew with members cut, replaced or added.
//!
//! - A path is a name or names joined by dots, found as one key or through nested objects, as nodes flatten
//!   documents.
//! - Kept members keep their bytes and their order.

use crate::json::{Elements, Members, unescape};

/// An attribute that only the gateway asked for: it is cut out of every hit again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraAttribute {
    pub name: String,
    /// Whether the client did ask to see it in `_formatted`.
    pub in_formatted: bool,
}

/// How a hit is written anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edit<'a> {
    /// Whether `_rankingScore` stays.
    pub(crate) score: bool,
    /// Whether `_rankingScoreDetails` stay.
    pub(crate) details: bool,
    /// What stands in place of the details.
    pub(crate) new_details: Option<&'a str>,
    /// The value of a member `_federation` to add.
    pub(crate) federation: Option<&'a str>,
    pub(crate) extra: &'a [ExtraAttribute],
}

/// What nodes write behind the document's own members.
const BEHIND_DOCUMENT: [&str; 4] =
    ["_formatted", "_matchesPosition", "_rankingScore", "_rankingScoreDetails"];

/// Appends the hit `text` as `edit` says.
pub(crate) fn write(text: &str, edit: &Edit<'_>, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    let mut federation = edit.federation;
    for member in Members::of(text).into_iter().flatten() {
        if BEHIND_DOCUMENT.contains(&member.key) {
            federation.take().into_iter().for_each(|value| object.member("_federation", value));
        }
        match member.key {
            "_rankingScore" if !edit.score => {}
            "_rankingScoreDetails" if !edit.details => {}
            "_rankingScoreDetails" => object.member(member.key, edit.new_details.unwrap_or(member.value)),
            "_formatted" => {
                let cut = edit.extra.iter().filter(|attribute| !attribute.in_formatted);
                object.member_without(member.key, member.value, &names(cut));
            }
            key => cut_or_keep(&mut object, key, member.value, &names(edit.extra.iter())),
        }
    }
    federation.take().into_iter().for_each(|value| object.member("_federation", value));
    object.close();
}

/// Appends the object `text` without the fields at `paths`.
pub(crate) fn without(text: &str, paths: &[&str], out: &mut Vec<u8>) {
    if paths.is_empty() {
        return out.extend_from_slice(text.as_bytes());
    }
    let mut object = Object::open(out);
    for member in Members::of(text).into_iter().flatten() {
        cut_or_keep(&mut object, member.key, member.value, paths);
    }
    object.close();
}

/// The raw value of the field that `path` names.
pub(crate) fn field<'a>(text: &'a str, path: &str) -> Option<&'a str> {
    Members::of(text)?.find_map(|member| match below(&unescape(member.key), path)? {
        "" => Some(member.value),
        rest => field(member.value, rest),
    })
}

/// Visits the raw scalars of the field that `path` names, those in arrays one by one.
pub(crate) fn leaves<'a>(text: &'a str, path: &str, visit: &mut impl FnMut(&'a str)) {
    if text.starts_with('[') {
        Elements::of(text).for_each(|element| leaves(element, path, visit));
    } else if path.is_empty() {
        visit(text);
    } else {
        for member in Members::of(text).into_iter().flatten() {
            if let Some(rest) = below(&unescape(member.key), path) {
                leaves(member.value, rest, visit);
            }
        }
    }
}

/// What is left of `path` below `key`; `None` if it leads elsewhere.
fn below<'p>(key: &str, path: &'p str) -> Option<&'p str> {
    let rest = path.strip_prefix(key)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

fn names<'a>(attributes: impl Iterator<Item = &'a ExtraAttribute>) -> Vec<&'a str> {
    attributes.map(|attribute| attribute.name.as_str()).collect()
}

fn cut_or_keep(object: &mut Object<'_>, key: &str, value: &str, paths: &[&str]) {
    let unescaped = unescape(key);
    let rests = paths.iter().filter_map(|path| below(&unescaped, path)).collect::<Vec<_>>();
    match rests.as_slice() {
        [] => object.member(key, value),
        rests if rests.contains(&"") => {}
        rests => object.member_without(key, value, rests),
    }
}

/// An object being written; keys are raw.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    fn member(&mut self, key: &str, value: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out.extend_from_slice(value.as_bytes());
    }

    /// A member whose object goes without the fields at `paths`; an object left empty goes whole.
    fn member_without(&mut self, key: &str, value: &str, paths: &[&str]) {
        let Some(members) = Members::of(value).filter(|_| !paths.is_empty()) else {
            return self.member(key, value);
        };
        let mut rest = Vec::with_capacity(value.len());
        let mut object = Object::open(&mut rest);
        members.for_each(|member| cut_or_keep(&mut object, member.key, member.value, paths));
        let empty = object.empty;
        object.close();
        if !empty {
            self.member(key, &String::from_utf8_lossy(&rest));
        }
    }

    fn close(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_path() {
        let text = r#"{"a":{"b":7,"c":[{"d":1},{"d":[2,"x"]}]},"a.e":null}"#;
        assert_eq!(field(text, "a.b"), Some("7"));
        assert_eq!(field(text, "a.e"), Some("null"));
        assert_eq!(field(text, "a.x"), None);
        let mut found = Vec::new();
        leaves(text, "a.c.d", &mut |leaf| found.push(leaf));
        assert_eq!(found, ["1", "2", "\"x\""]);
    }

    #[test]
    fn hits_are_written_anew() {
        let check = |text: &str, extra: &[(&str, bool)], score: bool, expected: &str| {
            let extra = extra.iter().map(|(name, in_formatted)| ExtraAttribute {
                name: (*name).to_owned(),
                in_formatted: *in_formatted,
            });
            let extra = extra.collect::<Vec<_>>();
            let edit =
                Edit { score, details: false, new_details: None, federation: Some("{}"), extra: &extra };
            let mut out = Vec::new();
            write(text, &edit, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check("{}", &[], false, r#"{"_federation":{}}"#);
        check(
            r#"{"id":1,"a":"x","_formatted":{"id":"1","a":"x"},"_rankingScore":0.5,"_rankingScoreDetails":{"words":{}}}"#,
            &[("id", false)],
            true,
            r#"{"a":"x","_federation":{},"_formatted":{"a":"x"},"_rankingScore":0.5}"#,
        );
        check(
            r#"{"n":{"id":1},"m":{"id":2,"b":3},"_formatted":{"n":{"id":"1"}},"_rankingScore":0.5}"#,
            &[("n.id", true), ("m.id", false)],
            false,
            r#"{"m":{"b":3},"_federation":{},"_formatted":{"n":{"id":"1"}}}"#,
        );
    }
}
