//! The words of an index, and how many of them a query's word can match.
//! Invariant: texts are split at everything that is neither letter nor digit, and lowercased. The engine splits a
//! little finer, so counts are close to its own but not equal.

use std::collections::BTreeSet;

use serde_json::Value;

/// The distinct words of some documents.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    words: BTreeSet<String>,
}

impl Tokens {
    pub(super) fn of(documents: &[Value]) -> Self {
        let mut tokens = Self::default();
        documents.iter().for_each(|document| tokens.add(document));
        tokens
    }

    fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.words.extend(words_of(text)),
            Value::Number(number) => self.words.extend(words_of(&number.to_string())),
            Value::Array(values) => values.iter().for_each(|value| self.add(value)),
            Value::Object(members) => members.values().for_each(|value| self.add(value)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    pub(super) fn holds(&self, word: &str) -> bool {
        self.words.contains(word)
    }

    /// The number of words that begin with `prefix`.
    pub(super) fn begun_by(&self, prefix: &str) -> usize {
        let from = self.words.range(prefix.to_owned()..);
        from.take_while(|word| word.starts_with(prefix)).count()
    }

    /// The number of words at most this many typos away; for a prefix, of words whose beginning is.
    pub(super) fn near(&self, word: &str, typos: usize, is_prefix: bool) -> usize {
        let letters = word.chars().collect::<Vec<_>>();
        self.words.iter().filter(|other| distance(&letters, other, is_prefix) <= typos).count()
    }

    /// Whether the word is two words of the index joined.
    pub(super) fn splits(&self, word: &str) -> bool {
        let cuts = word.char_indices().map(|(at, _)| at).skip(1);
        cuts.into_iter().any(|at| self.holds(&word[..at]) && self.holds(&word[at..]))
    }
}

/// The words of a text, as an index has them.
pub(super) fn words_of(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase)
}

/// The number of letters to insert, delete, replace or exchange with a neighbour.
fn distance(letters: &[char], other: &str, is_prefix: bool) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row = (0..=letters.len()).collect::<Vec<_>>();
    let mut least = letters.len();
    let mut previous = None;
    for (place, letter) in other.chars().enumerate() {
        let mut next = vec![place + 1];
        for (at, own) in letters.iter().enumerate() {
            let mut cost = (row[at] + usize::from(*own != letter)).min(row[at + 1] + 1).min(next[at] + 1);
            if at > 0 && place > 0 && previous == Some(*own) && letters[at - 1] == letter {
                cost = cost.min(before[at - 1] + 1);
            }
            next.push(cost);
        }
        before = std::mem::replace(&mut row, next);
        previous = Some(letter);
        least = least.min(row[letters.len()]);
    }
    if is_prefix { least } else { row[letters.len()] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn typos_are_counted() {
        let check = |word: &str, other: &str, expected| {
            let letters = word.chars().collect::<Vec<_>>();
            assert_eq!(distance(&letters, other, false), expected, "{word} {other}");
        };
        check("kitten", "kitten", 0);
        check("kitten", "sitting", 3);
        check("ab", "ba", 1);
        check("word", "wrod", 1);
        check("", "abc", 3);
        let letters = ['w', 'o', 'r'];
        assert_eq!(distance(&letters, "wording", true), 0);
        assert_eq!(distance(&letters, "vording", true), 1);
    }

    #[test]
    fn words_of_documents_are_found_at_any_depth() {
        let tokens = Tokens::of(&[json!({"a": ["One two", {"b": "Two-three 42"}], "c": 7})]);
        assert!(["one", "two", "three", "42", "7"].iter().all(|word| tokens.holds(word)));
        assert_eq!(tokens.begun_by("t"), 2);
        assert_eq!(tokens.near("too", 1, false), 1);
        assert!(tokens.splits("onetwo") && !tokens.splits("one"));
    }
}
