//! How a node normalises strings before it sorts or counts them.
//!
//! The rule is Meilisearch's `normalize_facet` (milli/src/lib.rs): trim, compatibility decomposition, lowercase. Facet
//! databases keep the characters that begin within the first 468 bytes (`MAX_FACET_VALUE_LENGTH`).

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The bytes of a facet value within which a character must begin to count.
const FACET_VALUE_BYTES_MAX: usize = 468;

/// The form of `original` by which a node sorts and groups strings. Borrowed if nothing changes.
pub(crate) fn normalize(original: &str) -> Cow<'_, str> {
    let trimmed = original.trim();
    let plain = trimmed.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if plain {
        return Cow::Borrowed(cut(trimmed));
    }
    if trimmed.is_ascii() {
        return Cow::Owned(cut(trimmed).to_ascii_lowercase());
    }
    let mut normalized = trimmed.nfkd().collect::<String>().to_lowercase();
    normalized.truncate(cut(&normalized).len());
    Cow::Owned(normalized)
}

/// The form by which facet search orders values: it ignores accents, case and ligatures. Nodes fold with their
/// tokenizer, which gives the same result for Latin script; other scripts may differ.
pub(crate) fn fold(original: &str) -> String {
    original
        .trim()
        .nfkd()
        .filter(|character| !is_combining_mark(*character))
        .collect::<String>()
        .to_lowercase()
        .replace('æ', "ae")
        .replace('œ', "oe")
}

fn cut(text: &str) -> &str {
    if text.len() <= FACET_VALUE_BYTES_MAX {
        return text;
    }
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= FACET_VALUE_BYTES_MAX);
    end.map_or(text, |end| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_normalise_as_a_node_does() {
        let table = [
            ("plain", "plain"),
            ("  Trim Me\t", "trim me"),
            ("Ｆｕｌｌ", "full"),
            ("É", "e\u{301}"),
            ("ﬁ", "fi"),
            ("Straße", "straße"),
            ("", ""),
        ];
        for (original, expected) in table {
            assert_eq!(normalize(original), expected, "{original:?}");
        }
        assert_eq!(fold(" Éclair"), "eclair");
        assert_eq!(fold("Æther Œuvre"), "aether oeuvre");
    }

    #[test]
    fn a_plain_string_is_borrowed() {
        assert!(matches!(normalize("already fine"), Cow::Borrowed(_)));
    }

    #[test]
    fn long_values_are_cut_on_a_character() {
        assert_eq!(normalize(&"a".repeat(600)).len(), 468);
        // The last character begins at byte 467, so it is kept although it ends beyond the bound.
        let text = format!("{}日本", "a".repeat(467));
        assert_eq!(normalize(&text).len(), 470);
    }
}
