//! The deterministic answers that canned nodes give and that the checks expect.
//!
//! Invariants: the same shape gives the same bytes. All hits of all legs have one strict order, and every leg's own
//! list is sorted by it, so that a merge really interleaves. The order by ranking rules and the order by
//! `_rankingScore` agree (unlike on a real node), so that yardsticks that merge by score and a gateway that merges by
//! rules must produce the same list.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;

/// The sort in all requests; the details of every hit contain its entry.
pub const SORT_RULE: &str = "price:asc";
const QUERY: &str = "quick fox";
const SEED: u64 = 0x6d69_726f_6972;
/// The total that a node reports, beyond the hits it returns.
pub const ESTIMATED_TOTAL_HITS_PER_LEG: usize = 1000;

/// The number of legs and the size of their answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Nodes, with one leg each; at least 1.
    pub legs: usize,
    /// Hits in each leg's answer, and in the merged answer.
    pub hits: usize,
    /// Bytes of one document as JSON, without reserved fields and ranking details; at least about 70.
    pub document_bytes: usize,
}

/// What a search request wants to see beside the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub score: bool,
    pub details: bool,
}

/// The hits of all legs in their one order.
pub struct Corpus {
    shape: Shape,
    /// Best first; each knows its leg.
    hits: Vec<Hit>,
}

struct Hit {
    leg: usize,
    id: usize,
    rank: Rank,
    score: f64,
}

/// Positions under the ranking rules in rule order: smaller is better, compared field by field.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    words_missing: u32,
    typos: u32,
    proximity: u32,
    attribute: u32,
    price: u32,
    exactness: u32,
}

impl Corpus {
    /// Builds the hits of every leg.
    pub fn new(shape: Shape) -> Self {
        let mut random = fastrand::Rng::with_seed(SEED);
        let total = shape.legs * shape.hits;
        let mut ranks = BTreeSet::new();
        while ranks.len() < total {
            ranks.insert(Rank {
                words_missing: random.u32(0..2),
                typos: random.u32(0..3),
                proximity: random.u32(0..8),
                attribute: random.u32(0..8),
                price: random.u32(0..100),
                exactness: random.u32(0..3),
            });
        }
        let mut legs: Vec<usize> = (0..total).map(|place| place % shape.legs).collect();
        random.shuffle(&mut legs);
        let mut ids: Vec<usize> = (100_000..100_000 + total).collect();
        random.shuffle(&mut ids);
        let step = 0.9 / total as f64;
        let hits = ranks
            .into_iter()
            .zip(legs)
            .zip(ids)
            .enumerate()
            .map(|(place, ((rank, leg), id))| Hit { leg, id, rank, score: 1.0 - step * place as f64 })
            .collect();
        Self { shape, hits }
    }

    /// The ids of the correct merged answer, best first.
    pub fn expected_ids(&self) -> Vec<u64> {
        self.hits.iter().take(self.shape.hits).map(|hit| hit.id as u64).collect()
    }

    /// The ids of one leg's own answer, best first.
    pub fn leg_ids(&self, leg: usize) -> Vec<u64> {
        self.hits.iter().filter(|hit| hit.leg == leg).map(|hit| hit.id as u64).collect()
    }

    /// The complete HTTP/1.1 answer of one leg, head and body.
    pub fn answer(&self, leg: usize, shown: Shown) -> Bytes {
        let mut body = String::from("{\"hits\":[");
        for (place, hit) in self.hits.iter().filter(|hit| hit.leg == leg).enumerate() {
            if place > 0 {
                body.push(',');
            }
            write_hit(&mut body, hit, shown, self.shape.document_bytes);
        }
        write_infallibly(
            &mut body,
            format_args!(
                "],\"query\":\"{QUERY}\",\"processingTimeMs\":1,\"limit\":{},\"offset\":0,\"estimatedTotalHits\":{}}}",
                self.shape.hits, ESTIMATED_TOTAL_HITS_PER_LEG
            ),
        );
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Bytes::from(head + &body)
    }
}

/// The search body that clients send, as a shop page might.
pub fn client_request(hits: usize) -> String {
    format!("{{\"q\":\"{QUERY}\",\"limit\":{hits},\"sort\":[\"{SORT_RULE}\"]}}")
}

/// A body with `count` documents of about 200 bytes, as clients write them.
pub fn documents(count: usize) -> String {
    let document = |id: usize| {
        format!(
            "{{\"id\":{id},\"title\":\"The quick fox {id}\",\"text\":\"{}\",\"price\":{}}}",
            "a brown dog ".repeat(11),
            id % 100
        )
    };
    format!("[{}]", (0..count).map(document).collect::<Vec<_>>().join(","))
}

/// The search body that a yardstick sends to its legs. It requests as much as a gateway has to.
pub fn leg_request(hits: usize) -> String {
    format!(
        "{{\"q\":\"{QUERY}\",\"limit\":{hits},\"sort\":[\"{SORT_RULE}\"],\"showRankingScore\":true,\"showRankingScoreDetails\":true}}"
    )
}

fn write_infallibly(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a String cannot fail");
}

/// Writes one hit in the field order of a real node: key, reserved fields, document, then score and details.
fn write_hit(body: &mut String, hit: &Hit, shown: Shown, document_bytes: usize) {
    let price = hit.rank.price;
    let plain =
        format!("{{\"id\":{},\"title\":\"Item {}\",\"price\":{price},\"text\":\"\"}}", hit.id, hit.id);
    let mut text = String::new();
    let mut random = fastrand::Rng::with_seed(hit.id as u64);
    while plain.len() + text.len() < document_bytes {
        text.push(if random.u32(0..6) == 0 { ' ' } else { random.lowercase() });
    }
    write_infallibly(body, format_args!("{{\"id\":{},", hit.id));
    write_reserved(body, &mut random);
    write_infallibly(
        body,
        format_args!("\"title\":\"Item {}\",\"price\":{price},\"text\":\"{text}\"", hit.id),
    );
    if shown.score {
        write_infallibly(body, format_args!(",\"_rankingScore\":{:.6}", hit.score));
    }
    if shown.details {
        write_details(body, &hit.rank);
    }
    body.push('}');
}

/// Writes the reserved fields as a gateway does: strings of separators only.
fn write_reserved(body: &mut String, random: &mut fastrand::Rng) {
    let mut separators =
        |count: usize| -> String { (0..count).map(|_| [',', '.', ':', ';'][random.usize(0..4)]).collect() };
    let (shard, updated_at) = (separators(6), separators(32));
    write_infallibly(
        body,
        format_args!("\"_miroir_shard\":\"{shard}\",\"_miroir_updated_at\":\"{updated_at}\","),
    );
}

fn write_details(body: &mut String, rank: &Rank) {
    let matching_words = 2 - rank.words_missing;
    let words_score = f64::from(matching_words) / 2.0;
    let typo_score = f64::from(3 - rank.typos) / 3.0;
    let proximity = f64::from(8 - rank.proximity) / 8.0;
    let attribute = f64::from(8 - rank.attribute) / 8.0;
    let exactness = ["exactMatch", "matchesStart", "noExactMatch"][rank.exactness as usize];
    let exact_words = if rank.exactness == 2 { ",\"matchingWords\":0,\"maxMatchingWords\":2" } else { "" };
    let exact_score = [1.0, 0.9, 0.25][rank.exactness as usize];
    write_infallibly(
        body,
        format_args!(
            ",\"_rankingScoreDetails\":{{\
             \"words\":{{\"order\":0,\"matchingWords\":{matching_words},\"maxMatchingWords\":2,\"score\":{words_score:?}}},\
             \"typo\":{{\"order\":1,\"typoCount\":{},\"maxTypoCount\":2,\"score\":{typo_score:?}}},\
             \"proximity\":{{\"order\":2,\"score\":{proximity:?}}},\
             \"attribute\":{{\"order\":3,\"attributeRankingOrderScore\":{attribute:?},\"queryWordDistanceScore\":1.0,\"score\":{attribute:?}}},\
             \"{SORT_RULE}\":{{\"order\":4,\"value\":{:?}}},\
             \"exactness\":{{\"order\":5,\"matchType\":\"{exactness}\"{exact_words},\"score\":{exact_score:?}}}}}",
            rank.typos,
            f64::from(rank.price),
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_of(answer: &Bytes) -> serde_json::Value {
        let at = memchr::memmem::find(answer, b"\r\n\r\n").expect("an answer has a head") + 4;
        serde_json::from_slice(&answer[at..]).expect("a canned body is JSON")
    }

    #[test]
    fn answers_are_valid_sorted_and_of_the_asked_size() {
        for shape in [
            Shape { legs: 1, hits: 20, document_bytes: 200 },
            Shape { legs: 3, hits: 20, document_bytes: 200 },
            Shape { legs: 8, hits: 200, document_bytes: 500 },
        ] {
            let corpus = Corpus::new(shape);
            let mut seen = BTreeSet::new();
            for leg in 0..shape.legs {
                let body = body_of(&corpus.answer(leg, Shown { score: true, details: true }));
                let hits = body["hits"].as_array().expect("hits");
                assert_eq!(hits.len(), shape.hits);
                let scores: Vec<f64> = hits.iter().filter_map(|hit| hit["_rankingScore"].as_f64()).collect();
                assert!(scores.windows(2).all(|pair| pair[0] > pair[1]));
                for (hit, id) in hits.iter().zip(corpus.leg_ids(leg)) {
                    assert_eq!(hit["id"].as_u64(), Some(id));
                    assert!(seen.insert(id));
                    let mut document = hit.as_object().expect("a hit is an object").clone();
                    document.retain(|name, _| !name.starts_with('_'));
                    let bytes = serde_json::to_string(&document).expect("JSON").len();
                    assert_eq!(bytes, shape.document_bytes);
                }
            }
        }
    }

    #[test]
    fn the_right_answer_takes_hits_from_every_leg_in_turns() {
        let corpus = Corpus::new(Shape { legs: 3, hits: 20, document_bytes: 200 });
        let expected = corpus.expected_ids();
        let owner = |id: &u64| (0..3).find(|leg| corpus.leg_ids(*leg).contains(id));
        let owners: Vec<_> = expected.iter().map(owner).collect();
        assert!((0..3).all(|leg| owners.contains(&Some(leg))));
        assert!(owners.windows(2).filter(|pair| pair[0] != pair[1]).count() >= 5, "the legs interleave");
    }

    #[test]
    fn what_is_not_asked_for_is_not_shown() {
        let corpus = Corpus::new(Shape { legs: 1, hits: 1, document_bytes: 200 });
        let body = body_of(&corpus.answer(0, Shown { score: false, details: false }));
        assert!(body["hits"][0].get("_rankingScore").is_none());
        assert!(body["hits"][0].get("_rankingScoreDetails").is_none());
    }
}
