//! Sound answers of legs, generated from the fuzzer's bytes, and the expected result of merging them.
//!
//! - Values come from small sets, so ties, missing values and texts that look like members are frequent.
//! - Each leg's hits are in the order of their ranks, as on a node.

use std::cmp::Reverse;
use std::fmt::Write as _;

use arbitrary::{Result, Unstructured};

const LEGS_MAX: usize = 3;
const HITS_PER_LEG_MAX: usize = 6;

/// Texts that a careless search would mistake for members. All are raw JSON strings.
const TEXTS: [&str; 8] = [
    r#""""#,
    r#""plain""#,
    r#""_miroir_shard""#,
    r#""\"_miroir_shard\":1,""#,
    r#""\\\"_rankingScoreDetails\":{}}""#,
    r#""é\u00e9\ud83d\ude00""#,
    r#""],\"hits\":[""#,
    r#"{"_miroir_shard":[{},"}"]}"#,
];
const SHARD: &str = r#""_miroir_shard":",,,,,,,;""#;

/// One generated hit.
pub(crate) struct Hit {
    pub(crate) id: usize,
    rank: Rank,
    text: &'static str,
    marker: Marker,
    formatted: bool,
    score: bool,
}

/// The lesser rank comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    matching_words: Reverse<u8>,
    typo_count: u8,
    /// Documents without a price come last.
    price_missing: bool,
    price: u8,
}

/// The position of a document's shard marker.
#[derive(Debug, Clone, Copy)]
enum Marker {
    None,
    First,
    Last,
}

/// Legs and their hits.
pub(crate) struct World {
    pub(crate) legs: Vec<Vec<Hit>>,
    /// Whether the legs write spaces after their commas and colons.
    spaced: bool,
}

impl World {
    pub(crate) fn arbitrary(choices: &mut Unstructured<'_>) -> Result<Self> {
        let leg_count = choices.int_in_range(1..=LEGS_MAX)?;
        let mut legs = Vec::with_capacity(leg_count);
        let mut id = 0;
        for _ in 0..leg_count {
            let mut hits = Vec::new();
            for _ in 0..choices.int_in_range(0..=HITS_PER_LEG_MAX)? {
                hits.push(Hit::arbitrary(choices, id)?);
                id += 1;
            }
            hits.sort_by_key(|hit| hit.rank);
            legs.push(hits);
        }
        Ok(Self { legs, spaced: choices.ratio(1, 4)? })
    }

    pub(crate) fn hits_total(&self) -> usize {
        self.legs.iter().map(Vec::len).sum()
    }

    /// The ids in the order of one node with all hits; equals in leg order.
    pub(crate) fn ranked_ids(&self) -> Vec<usize> {
        let mut all = self.legs.iter().flatten().collect::<Vec<_>>();
        all.sort_by_key(|hit| hit.rank);
        all.into_iter().map(|hit| hit.id).collect()
    }

    /// The ids in leg order.
    pub(crate) fn listed_ids(&self) -> Vec<usize> {
        self.legs.iter().flatten().map(|hit| hit.id).collect()
    }

    /// The legs' answers to a search. `total_name` is the member that holds the total.
    pub(crate) fn search_answers(&self, total_name: &str) -> Vec<Vec<u8>> {
        let answer = |hits: &Vec<Hit>| {
            let texts = hits.iter().map(Hit::search_text).collect::<Vec<_>>().join(",");
            let total = hits.len();
            let answer = format!(
                r#"{{"hits":[{texts}],"query":"q","processingTimeMs":1,"{total_name}":{total},"facetDistribution":{},"facetStats":{},"requestUid":"u"}}"#,
                r#"{"_miroir_shard":{",,":1},"color":{"red":2,"1":1},"size":{}}"#,
                r#"{"size":{"min":-1.5,"max":3}}"#,
            );
            self.spaced(answer)
        };
        self.legs.iter().map(answer).collect()
    }

    /// The legs' answers to a request for documents.
    pub(crate) fn document_answers(&self) -> Vec<Vec<u8>> {
        let answer = |hits: &Vec<Hit>| {
            let texts = hits.iter().map(Hit::document_text).collect::<Vec<_>>().join(",");
            let total = hits.len();
            self.spaced(format!(r#"{{"results":[{texts}],"offset":0,"limit":20,"total":{total}}}"#))
        };
        self.legs.iter().map(answer).collect()
    }

    fn spaced(&self, compact: String) -> Vec<u8> {
        if !self.spaced {
            return compact.into_bytes();
        }
        let mut spaced = Vec::with_capacity(compact.len() * 2);
        let (mut in_string, mut escaped) = (false, false);
        for byte in compact.into_bytes() {
            spaced.push(byte);
            in_string ^= byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            if !in_string && matches!(byte, b',' | b':' | b'{' | b'[') {
                spaced.extend_from_slice(b"\n ");
            }
        }
        spaced
    }
}

impl Hit {
    fn arbitrary(choices: &mut Unstructured<'_>, id: usize) -> Result<Self> {
        let rank = Rank {
            matching_words: Reverse(choices.int_in_range(1..=2)?),
            typo_count: choices.int_in_range(0..=1)?,
            price_missing: choices.ratio(1, 4)?,
            price: choices.int_in_range(0..=2)?,
        };
        // A missing price does not affect the order.
        let rank = Rank { price: if rank.price_missing { 0 } else { rank.price }, ..rank };
        let marker = match choices.int_in_range(0..=3)? {
            0 => Marker::None,
            1 => Marker::Last,
            _ => Marker::First,
        };
        let text = choices.choose(&TEXTS)?;
        Ok(Self { id, rank, text, marker, formatted: choices.arbitrary()?, score: choices.arbitrary()? })
    }

    /// The document with its reserved field.
    pub(crate) fn document_text(&self) -> String {
        format!("{{{}}}", self.fields())
    }

    fn fields(&self) -> String {
        let fields = format!(r#""id":{},"text":{}"#, self.id, self.text);
        match self.marker {
            Marker::None => fields,
            Marker::First => format!("{SHARD},{fields}"),
            Marker::Last => format!("{fields},{SHARD}"),
        }
    }

    fn search_text(&self) -> String {
        let Rank { matching_words: Reverse(words), typo_count, price_missing, price } = self.rank;
        let price = if price_missing { "null".to_owned() } else { price.to_string() };
        let mut text = format!("{{{}", self.fields());
        let mut push = |member: std::fmt::Arguments<'_>| {
            write!(text, ",{member}").expect("writing to a string cannot fail");
        };
        if self.formatted {
            push(format_args!(r#""_formatted":{{{}}}"#, self.fields()));
            push(format_args!(r#""_matchesPosition":{{{SHARD}}}"#));
        }
        if self.score {
            push(format_args!(r#""_rankingScore":0.25"#));
        }
        push(format_args!(
            r#""_rankingScoreDetails":{{"words":{{"order":0,"matchingWords":{words},"maxMatchingWords":2,"score":0.5}},"typo":{{"order":1,"typoCount":{typo_count},"maxTypoCount":1,"score":1.0}},"price:asc":{{"order":2,"value":{price}}}}}}}"#
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sound_json() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..100 {
            let steering = std::iter::repeat_with(|| random.u8(..)).take(200).collect::<Vec<_>>();
            let world = World::arbitrary(&mut Unstructured::new(&steering)).unwrap();
            for body in world.search_answers("totalHits").iter().chain(&world.document_answers()) {
                serde_json::from_slice::<serde::de::IgnoredAny>(body)
                    .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(body)));
            }
            assert_eq!(world.ranked_ids().len(), world.hits_total());
        }
    }
}
