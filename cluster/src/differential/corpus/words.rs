//! The words of a corpus: a few frequent ones, many rare ones, with neighbours that typos, prefixes and splits reach.
//! Invariant: the same seed gives the same words in the same order, most frequent first.

use std::collections::BTreeSet;

use fastrand::Rng;

/// The number of words made of syllables.
const MADE: usize = 1_500;
const CONSONANTS: &[&str] =
    &["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "st", "tr"];
const VOWELS: &[&str] = &["a", "e", "i", "o", "u", "ai", "ou"];
/// Words of other scripts and with diacritics: composed and decomposed, right to left, without spaces.
const FOREIGN: &[&str] = &[
    "café",
    "naïve",
    "Ærøskøbing",
    "Straße",
    "e\u{301}toile",
    "ﬁsh",
    "İstanbul",
    "שלום",
    "ירושלים",
    "مرحبا",
    "كتاب",
    "東京",
    "京都府",
    "学校生活",
    "你好世界",
    "서울특별시",
    "кириллица",
    "Ελλάδα",
    "ไทย",
    "😀",
    "C++",
    "o'clock",
    "well-known",
    "3.14",
    "2024",
    "x86_64",
];

/// Words of a corpus, most frequent first.
#[derive(Debug)]
pub(in crate::differential) struct Words {
    list: Vec<String>,
}

impl Words {
    pub(super) fn new(random: &mut Rng) -> Self {
        let mut seen = BTreeSet::new();
        let mut list: Vec<String> = Vec::with_capacity(MADE + FOREIGN.len());
        while list.len() < MADE {
            let word = match random.u8(..20) {
                // Two words joined, or a neighbour of a word: what splits and typos find.
                0 if list.len() > 10 => format!("{}{}", one_of(random, &list), one_of(random, &list)),
                1 | 2 if list.len() > 10 => {
                    let word = one_of(random, &list);
                    misspelt(random, &word)
                }
                _ => made(random),
            };
            if word.len() <= 24 && seen.insert(word.clone()) {
                list.push(word);
            }
        }
        for word in FOREIGN {
            let place = random.usize(20..list.len());
            list.insert(place, (*word).to_owned());
        }
        Self { list }
    }

    /// A word, with its frequency in texts.
    pub(in crate::differential) fn common(&self, random: &mut Rng) -> &str {
        &self.list[skewed(random, self.list.len())]
    }

    /// Any word, all equally likely.
    pub(in crate::differential) fn any(&self, random: &mut Rng) -> &str {
        &self.list[random.usize(..self.list.len())]
    }

    /// The word of a rank, for facets and categories.
    pub(in crate::differential) fn ranked(&self, rank: usize) -> &str {
        &self.list[rank % self.list.len()]
    }

    pub(in crate::differential) fn sentence(&self, random: &mut Rng, count: usize) -> String {
        let words = (0..count).map(|_| self.common(random));
        let mut sentence = words.collect::<Vec<_>>().join(" ");
        if random.u8(..4) == 0 {
            sentence.push('.');
        }
        sentence
    }
}

/// A number below `count`; small ones are far more frequent, roughly by Zipf's law.
pub(in crate::differential) fn skewed(random: &mut Rng, count: usize) -> usize {
    let first = random.usize(..count);
    let second = random.usize(..=first);
    random.usize(..=second)
}

/// The word with one letter removed, doubled, changed or exchanged.
pub(in crate::differential) fn misspelt(random: &mut Rng, word: &str) -> String {
    let mut letters = word.chars().collect::<Vec<_>>();
    if letters.len() < 3 {
        return word.to_owned();
    }
    let place = random.usize(1..letters.len());
    match random.u8(..4) {
        0 => {
            letters.remove(place);
        }
        1 => letters.insert(place, random.lowercase()),
        2 => letters[place] = random.lowercase(),
        _ => letters.swap(place - 1, place),
    }
    letters.into_iter().collect()
}

fn made(random: &mut Rng) -> String {
    let syllables = random.usize(1..=4);
    let mut word = String::new();
    for _ in 0..syllables {
        word.push_str(CONSONANTS[random.usize(..CONSONANTS.len())]);
        word.push_str(VOWELS[random.usize(..VOWELS.len())]);
    }
    if random.bool() {
        word.push_str(CONSONANTS[random.usize(..CONSONANTS.len())]);
    }
    word
}

fn one_of(random: &mut Rng, list: &[String]) -> String {
    list[random.usize(..list.len())].clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_words_and_small_ranks_are_frequent() {
        let words = |seed| Words::new(&mut Rng::with_seed(seed)).list;
        assert_eq!(words(7), words(7));
        assert_ne!(words(7), words(8));
        let mut random = Rng::with_seed(1);
        let small = (0..1_000).filter(|_| skewed(&mut random, 1_000) < 100).count();
        assert!((500..700).contains(&small), "{small}");
    }
}
