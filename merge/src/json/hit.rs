//! Single hits: looking up fields by path, and rewriting hits with members cut, replaced or added.
//!
//! - A path is one name, or names joined by dots; it is found as a single key or through nested objects.
//! - Kept members keep their bytes and their order.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::ExtraFields;
use crate::json::paths::{below, select_member};
use crate::json::{Member, Members, string, unescape, write_string};

/// How to rewrite a hit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edit<'a> {
    /// Whether to keep `_rankingScore`.
    pub(crate) score: bool,
    /// Whether to keep `_rankingScoreDetails`.
    pub(crate) details: bool,
    /// Replaces the value of the score.
    pub(crate) new_score: Option<&'a str>,
    /// Replaces the value of the details.
    pub(crate) new_details: Option<&'a str>,
    /// The value of a `_federation` member to add.
    pub(crate) federation: Option<&'a str>,
    /// Fields that were requested for merging only, to cut.
    pub(crate) extra: Option<&'a ExtraFields<'a>>,
}

/// The members that nodes write behind the document's own.
const BEHIND_DOCUMENT: [&str; 4] =
    ["_formatted", "_matchesPosition", "_rankingScore", "_rankingScoreDetails"];

/// Appends the hit `text`, rewritten by `edit`.
pub(crate) fn write(text: &str, edit: &Edit<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    let start = out.len();
    let mut federation = edit.federation;
    let added = Added::to(text);
    for member in Members::of(text).into_iter().flatten() {
        let is_own = added.is_documents_own(&member);
        if BEHIND_DOCUMENT.contains(&member.key) && !is_own {
            federation.take().into_iter().for_each(|value| push("_federation", value, start, out));
        }
        match (member.key, edit.extra) {
            (key, _) if is_own => push(&unescape(key), member.value, start, out),
            ("_rankingScore", _) if !edit.score => {}
            ("_rankingScore", _) => push(member.key, edit.new_score.unwrap_or(member.value), start, out),
            ("_rankingScoreDetails", _) if !edit.details => {}
            ("_rankingScoreDetails", _) => {
                push(member.key, edit.new_details.unwrap_or(member.value), start, out);
            }
            // The client requested every field formatted, so nothing is cut.
            ("_formatted", Some(extra)) if extra.formatted.iter().any(|name| name == "*") => {
                push(member.key, member.value, start, out);
            }
            ("_formatted", Some(extra)) => {
                let mut formatted = Vec::with_capacity(member.value.len());
                select_below(member.value, &extra.members, &extra.formatted, &mut formatted);
                push(member.key, &String::from_utf8_lossy(&formatted), start, out);
            }
            (key, Some(extra)) if extra.members.iter().any(|name| *name == unescape(key)) => {
                select_member(key, member.value, &extra.retrieved, start, out);
            }
            (key, _) => push(&unescape(key), member.value, start, out),
        }
    }
    federation.take().into_iter().for_each(|value| push("_federation", value, start, out));
    out.push(b'}');
}

/// Appends the object `text`, keeping of the members named in `members` only what `selected` names.
pub(crate) fn select_below(
    text: &str,
    members: &[Cow<'_, str>],
    selected: &[Cow<'_, str>],
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    let start = out.len();
    for member in Members::of(text).into_iter().flatten() {
        if members.iter().any(|name| *name == unescape(member.key)) {
            select_member(member.key, member.value, selected, start, out);
        } else {
            push(&unescape(member.key), member.value, start, out);
        }
    }
    out.push(b'}');
}

/// The score and the details that a node added to a hit. A document may have fields of these names, too, and then the
/// hit has such a member twice: the node's is the last.
pub(crate) struct Added {
    pub(crate) score_at: Option<usize>,
    pub(crate) details_at: Option<usize>,
}

impl Added {
    pub(crate) fn to(text: &str) -> Self {
        let (mut score_at, mut details_at) = (None, None);
        for member in Members::of(text).into_iter().flatten() {
            match member.key {
                "_rankingScore" => score_at = Some(member.key_at),
                "_rankingScoreDetails" => details_at = Some(member.key_at),
                _ => {}
            }
        }
        Self { score_at, details_at }
    }

    /// Whether a member of such a name is a field of the document.
    fn is_documents_own(&self, member: &Member<'_>) -> bool {
        match member.key {
            "_rankingScore" => self.score_at != Some(member.key_at),
            "_rankingScoreDetails" => self.details_at != Some(member.key_at),
            _ => false,
        }
    }
}

/// The raw value of a member that a node added behind the document's own: of several with this name the last.
pub(crate) fn added<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    Members::of(text)?.filter(|member| member.key == name).last().map(|member| member.value)
}

/// The raw value of the field that `path` names.
pub(crate) fn field<'a>(text: &'a str, path: &str) -> Option<&'a str> {
    Members::of(text)?.find_map(|member| match below(path, &unescape(member.key))? {
        "" => Some(member.value),
        rest => field(member.value, rest),
    })
}

/// The order of two raw values of a primary key: numbers before texts. Ranking keys hold numbers as doubles, which are
/// equal for different great integers, and the start of long texts only.
pub(crate) fn compare_keys(one: &str, other: &str) -> Ordering {
    match (one.parse::<i128>(), other.parse::<i128>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => string(one).cmp(&string(other)),
    }
}

/// The order of two hits that no ranking rule tells apart: by the field `identity` where both have it, and then by
/// their texts. It is the same whichever nodes give the hits.
pub(crate) fn compare_equals(one: &str, other: &str, identity: Option<&str>) -> Ordering {
    let keys = identity.and_then(|path| Some((field(one, path)?, field(other, path)?)));
    keys.map_or(Ordering::Equal, |(one, other)| compare_keys(one, other)).then_with(|| one.cmp(other))
}

/// Appends one member of an object whose content began at `start`.
fn push(key: &str, value: &str, start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b',');
    }
    write_string(key, out);
    out.push(b':');
    out.extend_from_slice(value.as_bytes());
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
    }

    #[test]
    fn a_documents_own_score_is_not_the_nodes() {
        let text = r#"{"id":1,"_rankingScore":"mine","_rankingScoreDetails":[7],"_rankingScore":0.5,"_rankingScoreDetails":{"words":{}}}"#;
        assert_eq!(added(text, "_rankingScore"), Some("0.5"));
        let check = |score: bool, details: bool, expected: &str| {
            let edit = Edit {
                score,
                details,
                new_score: None,
                new_details: Some("{}"),
                federation: Some("{}"),
                extra: None,
            };
            let mut out = Vec::new();
            write(text, &edit, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        let own = r#"{"id":1,"_rankingScore":"mine","_rankingScoreDetails":[7],"_federation":{}"#;
        check(false, false, &format!("{own}}}"));
        check(true, true, &format!(r#"{own},"_rankingScore":0.5,"_rankingScoreDetails":{{}}}}"#));
    }

    #[test]
    fn hits_are_written_anew() {
        let check = |text: &str, extra: Option<&ExtraFields<'_>>, score: bool, expected: &str| {
            let edit = Edit {
                score,
                details: false,
                new_score: None,
                new_details: None,
                federation: Some("{}"),
                extra,
            };
            let mut out = Vec::new();
            write(text, &edit, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check("{}", None, false, r#"{"_federation":{}}"#);
        let text = r#"{"id":1,"a":"x","_formatted":{"id":"1","a":"x"},"_rankingScore":0.5,"_rankingScoreDetails":{"words":{}}}"#;
        let mut extra = ExtraFields {
            members: vec!["id".into(), "n".into()],
            retrieved: vec!["a".into(), "n.b".into()],
            formatted: vec!["a".into()],
        };
        check(
            text,
            Some(&extra),
            true,
            r#"{"a":"x","_federation":{},"_formatted":{"a":"x"},"_rankingScore":0.5}"#,
        );
        extra.formatted.push("*".into());
        extra.formatted.push("id".into());
        check(
            r#"{"n":{"id":1,"b":2},"_formatted":{"id":"1"},"_rankingScore":0.5}"#,
            Some(&extra),
            false,
            r#"{"n":{"b":2},"_federation":{},"_formatted":{"id":"1"}}"#,
        );
    }
}
