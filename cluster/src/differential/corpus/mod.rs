//! The documents and settings for the comparison of queries.
//! Invariants: a seed and a number of documents determine the corpus. The documents of an index are in ascending order
//! of their primary keys, which is the order in which one node breaks ties.

pub(crate) mod adversarial;
pub(crate) mod mixed;
pub(crate) mod words;

use fastrand::Rng;
use serde_json::Value;

pub(super) use crate::differential::corpus::adversarial::NEEDLE;
pub(super) use crate::differential::corpus::words::{Words, misspelt, skewed};

/// The dimensions of every vector.
pub(super) const DIMENSIONS: usize = 6;
/// The index that most families query.
pub(super) const THINGS: &str = "things";
/// No searchable attributes configured; its own typo and language settings and ranking rules.
pub(super) const NOTES: &str = "notes";
/// Hidden attributes, few facet values, few hits in total.
pub(super) const GOODS: &str = "goods";
/// A distinct attribute in its settings.
pub(super) const VARIANTS: &str = "variants";

/// All indexes to load.
#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) words: Words,
    pub(super) indexes: Vec<Index>,
}

/// One index of a corpus.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) uid: &'static str,
    pub(super) primary_key: &'static str,
    pub(super) settings: Value,
    pub(super) documents: Vec<Value>,
}

impl Corpus {
    /// A corpus whose largest index has `documents` documents.
    pub(super) fn new(seed: u64, documents: usize) -> Self {
        let mut random = Rng::with_seed(seed);
        let words = Words::new(&mut random);
        let mut indexes = mixed::indexes(&mut random, &words, documents);
        indexes.extend(adversarial::indexes(&words));
        Self { words, indexes }
    }

    pub(super) fn index(&self, uid: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.uid == uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_stand_in_the_order_of_their_keys() {
        for index in Corpus::new(3, 50).indexes {
            let keys = index.documents.iter().map(|document| &document[index.primary_key]);
            let keys = keys.map(|key| (key.as_u64(), key.as_str())).collect::<Vec<_>>();
            assert!(keys.is_sorted(), "{}: {keys:?}", index.uid);
        }
    }

    #[test]
    fn a_seed_gives_the_same_documents() {
        let documents = |seed| Corpus::new(seed, 40).indexes.into_iter().flat_map(|index| index.documents);
        assert!(documents(5).eq(documents(5)));
        assert!(!documents(5).eq(documents(6)));
    }
}
