//! Families of queries: each has a name, a generator, and whether it must be exact.
//! Invariants: seed, number and family determine a question; questions change nothing.

pub(crate) mod adversarial;
pub(crate) mod documents;
pub(crate) mod errors;
pub(crate) mod facets;
pub(crate) mod filters;
pub(crate) mod many;
pub(crate) mod order;
pub(crate) mod pages;
pub(crate) mod shape;
pub(crate) mod text;
pub(crate) mod vectors;

use fastrand::Rng;
use serde_json::Value;

use crate::differential::corpus::{Corpus, DIMENSIONS, Words, misspelt};
use crate::differential::question::Question;
use crate::differential::setup::Version;

/// A kind of query.
#[derive(Clone, Copy)]
pub(super) struct Family {
    pub(super) name: &'static str,
    /// Whether one node and a cluster must always agree. The other families depend on statistics of a whole index.
    pub(super) exact: bool,
    /// The first version whose nodes support it.
    pub(super) since: Version,
    pub(super) ask: fn(&mut Asker<'_>) -> Question,
}

/// The source of randomness and data for generators.
pub(super) struct Asker<'c> {
    pub(super) random: Rng,
    pub(super) corpus: &'c Corpus,
}

const fn exact(name: &'static str, ask: fn(&mut Asker<'_>) -> Question) -> Family {
    Family { name, exact: true, since: Version(1, 15), ask }
}

const fn by_statistics(name: &'static str, ask: fn(&mut Asker<'_>) -> Question) -> Family {
    Family { exact: false, ..exact(name, ask) }
}

const fn newer(since: Version, family: Family) -> Family {
    Family { since, ..family }
}

pub(super) const FAMILIES: &[Family] = &[
    by_statistics("keyword", text::keyword),
    by_statistics("prefix", text::prefix),
    by_statistics("typos", text::typos),
    by_statistics("phrase", text::phrase),
    by_statistics("negative", text::negative),
    by_statistics("strategy-last", text::strategy_last),
    by_statistics("strategy-all", text::strategy_all),
    by_statistics("strategy-frequency", text::strategy_frequency),
    by_statistics("synonyms", text::synonyms),
    by_statistics("locales", text::locales),
    by_statistics("search-on", text::search_on),
    by_statistics("all-searchable", text::all_searchable),
    by_statistics("custom-rules", text::custom_rules),
    exact("filter", filters::filter),
    exact("filter-geo", filters::geo),
    exact("filter-contains", filters::contains),
    exact("facets", facets::facets),
    exact("facets-cut", facets::cut),
    exact("facet-spellings", facets::spellings),
    exact("facet-search", facets::search),
    exact("sort-number", order::number),
    exact("sort-text", order::text),
    exact("sort-mixed", order::mixed),
    exact("sort-edges", order::edges),
    exact("sort-several", order::several),
    exact("sort-geo", order::geo),
    exact("distinct", order::distinct),
    exact("distinct-setting", order::distinct_setting),
    exact("pages", pages::pages),
    exact("offsets", pages::offsets),
    exact("hits-cut", pages::hits_cut),
    by_statistics("threshold", pages::threshold),
    exact("retrieve", shape::retrieve),
    by_statistics("formatted", shape::formatted),
    by_statistics("positions", shape::positions),
    exact("displayed", shape::displayed),
    by_statistics("scores", shape::scores),
    by_statistics("score-details", shape::score_details),
    by_statistics("search-get", shape::search_get),
    by_statistics("everything", shape::everything),
    exact("vector", vectors::vector),
    exact("hybrid", vectors::hybrid),
    exact("similar", vectors::similar),
    by_statistics("multi-search", many::multi_search),
    by_statistics("federated", many::federated),
    newer(Version(1, 16), by_statistics("federated-facets", many::federated_facets)),
    exact("documents-get", documents::get),
    exact("documents-fetch", documents::fetch),
    newer(Version(1, 20), exact("documents-sort", documents::sorted)),
    exact("stats", documents::stats),
    newer(Version(1, 35), exact("fields", documents::fields)),
    exact("errors", errors::errors),
    exact("adversarial", adversarial::adversarial),
];

impl<'c> Asker<'c> {
    /// The asker for one query of a run.
    pub(super) fn new(corpus: &'c Corpus, seed: u64, number: usize) -> Self {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        // Spreads the seeds of consecutive queries.
        let seed = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { random: Rng::with_seed(seed), corpus }
    }

    /// True once in `times` calls, on average.
    fn once_in(&mut self, times: u32) -> bool {
        self.random.u32(..times) == 0
    }

    fn one_of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.random.usize(..list.len())].clone()
    }

    /// At least one element of the list, in random order.
    fn some_of<T: Clone>(&mut self, list: &[T], count_max: usize) -> Vec<T> {
        let count = self.random.usize(1..=count_max.min(list.len()));
        self.random.choose_multiple(list.iter().cloned(), count)
    }

    fn words(&self) -> &'c Words {
        &self.corpus.words
    }

    fn common(&mut self) -> &'c str {
        self.words().common(&mut self.random)
    }

    fn any(&mut self) -> &'c str {
        self.words().any(&mut self.random)
    }

    /// Whole words, mostly frequent ones.
    fn plain_text(&mut self, count_max: usize) -> String {
        let count = self.random.usize(1..=count_max);
        let words = (0..count).map(|_| if self.once_in(4) { self.any() } else { self.common() });
        words.collect::<Vec<_>>().join(" ")
    }

    /// The beginning of a word.
    fn begun(&mut self) -> String {
        let letters = self.any().chars().collect::<Vec<_>>();
        letters[..self.random.usize(1..=letters.len())].iter().collect()
    }

    fn misspelt(&mut self) -> String {
        let word = self.any();
        misspelt(&mut self.random, word)
    }

    /// Words as people type them: whole, begun, misspelt.
    fn loose_text(&mut self) -> String {
        let mut words = vec![self.plain_text(2)];
        match self.random.u8(..4) {
            0 => words.push(self.begun()),
            1 => words.push(self.misspelt()),
            _ => {}
        }
        words.join(" ")
    }

    fn vector(&mut self) -> Vec<f64> {
        (0..DIMENSIONS).map(|_| f64::from(self.random.i32(-100..100)) / 64.0).collect()
    }

    /// A document of an index, if it has any.
    fn document(&mut self, uid: &str) -> Option<&'c Value> {
        let documents = &self.corpus.index(uid)?.documents;
        if documents.is_empty() { None } else { Some(&documents[self.random.usize(..documents.len())]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_names_of_their_own() {
        let names = FAMILIES.iter().map(|family| family.name).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(names.len(), FAMILIES.len());
    }

    #[test]
    fn a_question_follows_from_seed_and_number() {
        let corpus = Corpus::new(1, 30);
        for family in FAMILIES {
            let question = |number| (family.ask)(&mut Asker::new(&corpus, 9, number));
            assert_eq!(question(4), question(4), "{}", family.name);
            assert!((0..200).any(|number| question(number) != question(4)), "{}", family.name);
        }
    }
}
