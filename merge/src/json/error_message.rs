//! Error messages of nodes, without the names of reserved fields.
//!
//! The lists of names are those of Meilisearch's milli/src/error.rs and milli/src/search/facet/filter. The names either
//! share one pair of backticks (`a, b`) or have one pair each (`a`, `b`).

use std::borrow::Cow;

use crate::json::strip::RESERVED;

/// Replaces the prefix of reserved names in requests to nodes. It has the same length, so columns in messages stay
/// right.
pub const STAND_IN: &str = "_mirrir_";

/// How each list of attributes is introduced, and the text that replaces an empty list.
const LISTS: [(&str, &str); 6] = [
    (
        "Available filterable attributes patterns are: ",
        "This index does not have configured filterable attributes.",
    ),
    (
        "Available filterable attribute patterns are: ",
        "This index does not have configured filterable attributes.",
    ),
    ("Available filterable attributes are: ", "This index does not have configured filterable attributes."),
    ("Available sortable attributes are: ", "This index does not have configured sortable attributes."),
    (
        "Available facet-searchable attributes patterns are: ",
        "This index does not have configured facet-searchable attributes.",
    ),
    ("Available searchable attributes are: ", "Available searchable attributes are: ``."),
];

/// The message without reserved fields in its lists of names. A list that becomes empty reads as on a node without such
/// attributes. A name from the client's request gets back the client's spelling. Borrowed if nothing changes.
pub fn strip_message(message: &str) -> Cow<'_, str> {
    let stripped = match message.contains(RESERVED) {
        true => Cow::Owned(strip_lists(&without_shards(message)).into_owned()),
        false => Cow::Borrowed(message),
    };
    if stripped.contains(STAND_IN) { Cow::Owned(stripped.replace(STAND_IN, RESERVED)) } else { stripped }
}

/// The message without the shard condition, where a node quotes a whole filter (v1.50 prints the filter as it parsed
/// it). The quoted filter begins with the columns of the fault.
fn without_shards(message: &str) -> Cow<'_, str> {
    const JOINED: &str = " AND (";
    let is_ours = |at: &usize| {
        let condition =
            message[at + JOINED.len()..].trim_start_matches("NOT ").trim_start_matches(['(', '"']);
        condition.starts_with(RESERVED)
    };
    let joined = message.match_indices(JOINED).map(|(at, _)| at).find(is_ours);
    let parts = joined.and_then(|at| {
        let (before, filter) = message[..at].rsplit_once('\n')?;
        let (place, filter) = filter.split_once(' ')?;
        let (from, to) = place.split_once(':')?;
        Some((before, from.parse::<usize>().ok()?, to.parse::<usize>().ok()?, filter))
    });
    let Some((before, from, to, filter)) = parts else { return Cow::Borrowed(message) };
    // The gateway wraps the client's filter in brackets beside the shard condition, so unwrap it and shift the columns.
    match inside_brackets(filter) {
        Some(inside) => {
            Cow::Owned(format!("{before}\n{}:{} {inside}", from.saturating_sub(1), to.saturating_sub(1)))
        }
        None => Cow::Owned(format!("{before}\n{from}:{to} {filter}")),
    }
}

/// The inside of the brackets that enclose all of `text`, if there are such.
fn inside_brackets(text: &str) -> Option<&str> {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
        if depth == 0 {
            return (at > 0 && at + 1 == text.len()).then(|| &text[1..at]);
        }
    }
    None
}

fn strip_lists(message: &str) -> Cow<'_, str> {
    let mut stripped = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((at, intro, empty)) = next_list(rest) {
        let (before, list) = rest.split_at(at);
        stripped.push_str(before);
        let list = &list[intro.len()..];
        let end = list_end(list);
        match strip_list(&list[..end]) {
            Some(list) => {
                stripped.push_str(intro);
                stripped.push_str(&list);
                rest = &message[message.len() - rest.len() + at + intro.len() + end..];
            }
            None => {
                stripped.push_str(empty);
                let after = &rest[at + intro.len() + end..];
                rest = after.strip_prefix('.').unwrap_or(after);
            }
        }
    }
    stripped.push_str(rest);
    Cow::Owned(stripped)
}

/// The message without the names of attributes that are not displayed, wherever one node omits them: everywhere but in
/// errors of filter expressions (milli's `remove_hidden_fields`). Borrowed if nothing changes.
pub fn hide_attributes<'m>(message: &'m str, displayed: &[String]) -> Cow<'m, str> {
    const OF_FILTERS: &str = "Available filterable attribute patterns are: ";
    let Some((at, intro, _)) = next_list(message).filter(|(_, intro, _)| *intro != OF_FILTERS) else {
        return Cow::Borrowed(message);
    };
    let (before, list) = message.split_at(at + intro.len());
    let end = list_end(list);
    let Some(inside) = list[..end].strip_prefix('`').and_then(|inside| inside.strip_suffix('`')) else {
        return Cow::Borrowed(message);
    };
    let names = inside.split(", ");
    let mut kept =
        names.clone().filter(|name| displayed.iter().any(|shown| shown == name)).collect::<Vec<_>>();
    if kept.len() == names.count() {
        return Cow::Borrowed(message);
    }
    kept.push("<..hidden-attributes>");
    let after = &list[end..];
    // Nodes print the comma even when no name comes before it.
    let list = if kept.len() == 1 { format!(", {}", kept[0]) } else { kept.join(", ") };
    Cow::Owned(format!("{before}`{list}`{after}"))
}

/// The next list in `text`: its offset, its introduction and the replacement for an empty list.
fn next_list(text: &str) -> Option<(usize, &'static str, &'static str)> {
    let found = LISTS.iter().filter_map(|(intro, empty)| Some((text.find(intro)?, *intro, *empty)));
    found.min_by_key(|(at, ..)| *at)
}

/// The offset of the end of the list that `text` begins with.
fn list_end(text: &str) -> usize {
    let mut end = 0;
    loop {
        let Some(opened) = text[end..].strip_prefix('`') else { return end };
        let Some(length) = opened.find('`') else { return end };
        end += length + 2;
        if !text[end..].starts_with(", `") {
            return end;
        }
        end += 2;
    }
}

/// The list without reserved names; `None` if no name is left.
fn strip_list(list: &str) -> Option<String> {
    let each_quoted = list.contains("`, `");
    let (separator, names) = match list.strip_prefix('`').and_then(|inside| inside.strip_suffix('`')) {
        Some(inside) if each_quoted => ("`, `", inside),
        Some(inside) => (", ", inside),
        None => return Some(list.to_owned()),
    };
    let kept = names.split(separator).filter(|name| !name.starts_with(RESERVED)).collect::<Vec<_>>();
    if kept.is_empty() { None } else { Some(format!("`{}`", kept.join(separator))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_are_not_displayed_are_not_named() {
        let check = |message: &str, expected: &str| {
            assert_eq!(hide_attributes(message, &["a".to_owned(), "c".to_owned()]), expected);
        };
        check("Nothing to see.", "Nothing to see.");
        check(
            "No. Available sortable attributes are: `a, b, c`. Yes.",
            "No. Available sortable attributes are: `a, c, <..hidden-attributes>`. Yes.",
        );
        check("Available sortable attributes are: `a, c`.", "Available sortable attributes are: `a, c`.");
        check(
            "Available searchable attributes are: `b`.",
            "Available searchable attributes are: `, <..hidden-attributes>`.",
        );
        check(
            "Available filterable attribute patterns are: `a`, `b`.",
            "Available filterable attribute patterns are: `a`, `b`.",
        );
    }

    #[test]
    fn messages_lose_reserved_names() {
        let none =
            "Attribute `x` is not filterable. This index does not have configured filterable attributes.";
        let table = [
            ("Attribute `x` is not filterable.", "Attribute `x` is not filterable."),
            (
                "Attribute `x` is not filterable. Available filterable attribute patterns are: `_miroir_shard`, `a`.\n1:2 x=1",
                "Attribute `x` is not filterable. Available filterable attribute patterns are: `a`.\n1:2 x=1",
            ),
            (
                "Attribute `x` is not filterable. Available filterable attributes patterns are: `_miroir_shard, a, b`.",
                "Attribute `x` is not filterable. Available filterable attributes patterns are: `a, b`.",
            ),
            (
                "Attribute `x` is not filterable. Available filterable attribute patterns are: `_miroir_shard`, `_miroir_updated_at`.",
                none,
            ),
            ("Attribute `x` is not filterable. Available filterable attributes are: `_miroir_shard`.", none),
            (
                "No.\n8:12 (NOT (\"nope\" EXISTS)) AND (\"_miroir_shard\" IN [\",,,\", \",,.\"])",
                "No.\n7:11 NOT (\"nope\" EXISTS)",
            ),
            (
                "No.\n26:30 (\"b)\" >= \"37\") AND (\"nope\" IS EMPTY) AND (\"_miroir_shard\" IN [\",,,\"])",
                "No.\n26:30 (\"b)\" >= \"37\") AND (\"nope\" IS EMPTY)",
            ),
            (
                "No.\n2:6 (nope = \"1\") AND (NOT (\"_miroir_expires_at\" <= \"17\")) AND (\"_miroir_shard\" IN [\",,,\"])",
                "No.\n1:5 nope = \"1\"",
            ),
            (
                "Attribute `x` is not sortable. Available sortable attributes are: `_miroir_updated_at, <..hidden-attributes>`.",
                "Attribute `x` is not sortable. Available sortable attributes are: `<..hidden-attributes>`.",
            ),
            (
                "Attribute `x` is not facet-searchable. Available facet-searchable attributes patterns are: `_miroir_shard`. To make it facet-searchable add it to the `filterableAttributes` index settings.",
                "Attribute `x` is not facet-searchable. This index does not have configured facet-searchable attributes. To make it facet-searchable add it to the `filterableAttributes` index settings.",
            ),
        ];
        for (message, expected) in table {
            assert_eq!(strip_message(message), expected);
        }
    }

    #[test]
    fn a_message_cut_anywhere_is_harmless() {
        let message = "Available filterable attribute patterns are: `_miroir_shard`, `a`. Available sortable attributes are: `_miroir_é`.";
        for end in (0..=message.len()).filter(|end| message.is_char_boundary(*end)) {
            let stripped = strip_message(&message[..end]);
            assert!(stripped.len() <= message.len());
        }
    }
}
