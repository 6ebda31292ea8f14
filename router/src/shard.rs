//! Shards: the shard of a document, and sets of shards.
//!
//! Invariants: `shard_of` never changes, because documents store its result and it decides on which nodes they are. A
//! `ShardSet` keeps no trailing empty words, so equal sets are equal values.

use crate::reserved::{SHARD_FIELD, SHARD_MARKER_LENGTH, shard_marker};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The most shards of an index; a shard marker has room for exactly this many.
pub const SHARDS_MAX: u32 = 65_536;
/// Shards of an index for which no other number is requested.
pub const SHARDS_DEFAULT: u32 = 64;

const WORD_BITS: u32 = u64::BITS;

/// The shard of a document: XXH3-64 with seed 0 over the primary key's string form (so `1` and `"1"` agree), modulo the
/// shard count. It never changes; golden vectors in the tests pin it.
///
/// # Panics
/// When `shards` is 0.
#[must_use]
pub fn shard_of(primary_key: &str, shards: u32) -> u32 {
    let shard = xxh3_64(primary_key.as_bytes()) % u64::from(shards);
    u32::try_from(shard).expect("a remainder modulo a u32 fits a u32")
}

/// The filter, in Meilisearch's grammar, that keeps the documents of these shards. For the empty set it keeps nothing.
#[must_use]
pub fn shard_filter(shards: &ShardSet) -> String {
    const QUOTED_LENGTH: usize = SHARD_MARKER_LENGTH + 4;
    let mut filter = String::with_capacity(SHARD_FIELD.len() + 8 + shards.len() as usize * QUOTED_LENGTH);
    filter.push_str(SHARD_FIELD);
    filter.push_str(" IN [");
    for (position, shard) in shards.iter().enumerate() {
        filter.push_str(if position == 0 { "\"" } else { ", \"" });
        filter.extend(shard_marker(shard).map(char::from));
        filter.push('"');
    }
    filter.push(']');
    filter
}

/// A set of shard numbers below [`SHARDS_MAX`], one bit each. Serialised as the ascending list of its members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Vec<u32>", try_from = "Vec<u32>")]
pub struct ShardSet {
    words: Vec<u64>,
}

/// A stored set names a shard that cannot exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shard {0} is out of range: the highest is {max}", max = SHARDS_MAX - 1)]
pub struct ShardSetError(pub u32);

impl ShardSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> ShardSet {
        ShardSet { words: Vec::new() }
    }

    /// All shards of an index of `shards` shards.
    ///
    /// # Panics
    /// When `shards` is over [`SHARDS_MAX`].
    #[must_use]
    pub fn all(shards: u32) -> ShardSet {
        assert!(shards <= SHARDS_MAX, "an index has at most {SHARDS_MAX} shards");
        let mut words = vec![u64::MAX; (shards / WORD_BITS) as usize];
        if !shards.is_multiple_of(WORD_BITS) {
            words.push((1 << (shards % WORD_BITS)) - 1);
        }
        ShardSet { words }
    }

    /// How many shards are in the set.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    #[must_use]
    pub fn contains(&self, shard: u32) -> bool {
        let (word, bit) = position(shard);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Adds a shard; false when the set had it already.
    ///
    /// # Panics
    /// When `shard` is not below [`SHARDS_MAX`].
    pub fn insert(&mut self, shard: u32) -> bool {
        assert!(shard < SHARDS_MAX, "shard numbers are below {SHARDS_MAX}");
        let (word, bit) = position(shard);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let added = self.words[word] & bit == 0;
        self.words[word] |= bit;
        added
    }

    /// Removes a shard; false when the set did not have it.
    pub fn remove(&mut self, shard: u32) -> bool {
        let (word, bit) = position(shard);
        let present = self.contains(shard);
        if present {
            self.words[word] &= !bit;
            self.trim();
        }
        present
    }

    /// The members in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0_u32..).step_by(WORD_BITS as usize).zip(&self.words).flat_map(|(first, &word)| {
            // Clearing the lowest set bit repeatedly visits only the members.
            std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)))
                .take_while(|&word| word != 0)
                .map(move |word| first + word.trailing_zeros())
        })
    }

    #[must_use]
    pub fn union(&self, other: &ShardSet) -> ShardSet {
        let (mut longer, shorter) =
            if self.words.len() >= other.words.len() { (self.clone(), other) } else { (other.clone(), self) };
        for (word, added) in longer.words.iter_mut().zip(&shorter.words) {
            *word |= added;
        }
        longer
    }

    /// The members that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &ShardSet) -> ShardSet {
        let mut remaining = self.clone();
        remaining.subtract(other);
        remaining
    }

    #[must_use]
    pub fn intersection(&self, other: &ShardSet) -> ShardSet {
        let words = self.words.iter().zip(&other.words).map(|(one, two)| one & two).collect();
        let mut common = ShardSet { words };
        common.trim();
        common
    }

    /// The number of members that both sets have.
    #[must_use]
    pub fn intersection_len(&self, other: &ShardSet) -> u32 {
        self.words.iter().zip(&other.words).map(|(one, two)| (one & two).count_ones()).sum()
    }

    #[must_use]
    pub fn is_subset(&self, other: &ShardSet) -> bool {
        self.words.len() <= other.words.len()
            && self.words.iter().zip(&other.words).all(|(one, two)| one & !two == 0)
    }

    /// Removes all members of `other`.
    pub fn subtract(&mut self, other: &ShardSet) {
        for (word, removed) in self.words.iter_mut().zip(&other.words) {
            *word &= !removed;
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }
}

impl FromIterator<u32> for ShardSet {
    fn from_iter<I: IntoIterator<Item = u32>>(shards: I) -> ShardSet {
        let mut set = ShardSet::new();
        for shard in shards {
            set.insert(shard);
        }
        set
    }
}

impl From<ShardSet> for Vec<u32> {
    fn from(set: ShardSet) -> Vec<u32> {
        set.iter().collect()
    }
}

impl TryFrom<Vec<u32>> for ShardSet {
    type Error = ShardSetError;

    fn try_from(shards: Vec<u32>) -> Result<ShardSet, ShardSetError> {
        match shards.iter().find(|&&shard| shard >= SHARDS_MAX) {
            Some(&shard) => Err(ShardSetError(shard)),
            None => Ok(shards.into_iter().collect()),
        }
    }
}

fn position(shard: u32) -> (usize, u64) {
    ((shard / WORD_BITS) as usize, 1 << (shard % WORD_BITS))
}
