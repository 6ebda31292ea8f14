//! The values by which hits of different queries are ranked: weighted scores, read from ranking details.
//!
//! - Consecutive rules without a sort between them make one score, as Meilisearch's
//!   `ScoreDetails::weighted_score_values` joins their ranks (milli/src/score_details.rs).
//! - Details give ranks as scores. Where they omit the number of ranks, the least number that fits all hits of the
//!   query is used. The part that `_rankingScore` covers is taken from it, exactly: all rules as one, or before 1.24
//!   those up to the first sort.
//! - Comparing follows meilisearch/src/search/federated/weighted_scores.rs: kinds that do not compare are decided by
//!   the number of values left, then by the whole score.

use std::borrow::Cow;
use std::cmp::Ordering;

use ahash::AHashMap;

use crate::error::Fault;
use crate::json::hit;
use crate::json::{Members, number, shorten, string};

/// One value of a hit; greater is better once direction is accounted for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Score(f64),
    Vector(f64),
    Sort { ascending: bool, value: SortValue<'a> },
    Geo { ascending: bool, distance: Option<f64> },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SortValue<'a> {
    Null,
    Number(f64),
    Text(Cow<'a, str>),
    /// Booleans, arrays and objects equal everything but null.
    Other,
}

/// One rule's result for a hit: its rank, and the number of ranks. Both are whole numbers; greater ranks are better.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rank {
    rank: f64,
    ranks: f64,
}

/// The score of consecutive rules: each ranks among the equals of those before it.
fn joined(rules: &[Rank]) -> f64 {
    let first = Rank { rank: 1.0, ranks: 1.0 };
    let joined = rules.iter().fold(first, |outer, inner| Rank {
        rank: (outer.rank - 1.0).max(0.0) * inner.ranks + inner.rank,
        ranks: outer.ranks * inner.ranks,
    });
    joined.rank / joined.ranks
}

/// The most ranks that a rule distinguishes, where its details do not say.
const RANKS_MAX: u32 = 1000;

/// What the hits of one query reveal about each other's scores.
#[derive(Debug, Default)]
pub(crate) struct Scale<'a> {
    /// The number of ranks of rules whose details omit it, by rule and raw number of matching words: each number of
    /// words is ranked separately.
    ranks: AHashMap<(&'a str, &'a str), u32>,
    /// The most typos that shards allow, by the raw number of matching words; one node allows the maximum over all
    /// shards.
    typos: AHashMap<&'a str, f64>,
    /// Whether `_rankingScore` covers only the rules up to the first sort.
    scores_end_at_sorts: bool,
}

impl<'a> Scale<'a> {
    pub(crate) fn new(scores_end_at_sorts: bool) -> Self {
        Self { scores_end_at_sorts, ..Self::default() }
    }

    /// Learns from the scores of one hit's details.
    pub(crate) fn learn(&mut self, details: &'a str) {
        self.learn_typos(details);
        let words = words_of(details);
        for rule in Members::of(details).into_iter().flatten() {
            if !matches!(rule.key, "proximity" | "attribute" | "attributeRank" | "wordPosition") {
                continue;
            }
            let Some(score) = hit::field(rule.value, "score").and_then(number) else { continue };
            let known = self.ranks.entry((rule.key, words)).or_insert(1);
            *known = common_multiple(*known, denominator(score));
        }
    }

    /// Learns how many typos the hit's shard allows.
    pub(crate) fn learn_typos(&mut self, details: &'a str) {
        if let Some(typos) = typos_of(details) {
            let most = self.typos.entry(words_of(details)).or_insert(typos);
            *most = most.max(typos);
        }
    }

    /// Computes one rule's rank. `details`: all rules of the hit.
    fn rank(&self, details: &str, rule: &str, score: f64, ranks: Option<f64>) -> Rank {
        let learned = || self.ranks.get(&(rule, words_of(details))).copied().map(f64::from);
        let ranks = ranks.or_else(learned).unwrap_or(1.0);
        let ranks = ranks.max(1.0);
        Rank { rank: (score * ranks).round(), ranks }
    }
}

impl Scale<'_> {
    /// The most typos that any shard allows, if the hit's own shard allows fewer.
    pub(crate) fn more_typos(&self, details: &str) -> Option<f64> {
        let most = self.typos.get(words_of(details)).copied()?;
        (most > typos_of(details)?).then_some(most)
    }

    /// The `_rankingScore` of a hit as one node computes it: ranked by the most typos that any shard allows.
    pub(crate) fn score(&self, details: &str, score: f64) -> f64 {
        let Some(typos) = typos_of(details) else { return score };
        let words = words_of(details);
        let most = self.typos.get(words).copied().unwrap_or(typos);
        let rules = || Members::of(details).into_iter().flatten();
        let number_of = |rule: &str, field: &str| {
            let rule = rules().find(|known| known.key == rule)?;
            hit::field(rule.value, field).and_then(number)
        };
        let leads = number_of("typo", "order") <= Some(if words.is_empty() { 0.0 } else { 1.0 });
        let (Some(count), true, true) = (number_of("typo", "typoCount"), most > typos, leads) else {
            return score;
        };
        // The rank of the words, then that of the typos, then the rest: each is a share of one rank of the previous.
        let matching = number_of("words", "matchingWords").unwrap_or(1.0);
        let all_words = number_of("words", "maxMatchingWords").unwrap_or(1.0);
        let of_typos = 1.0 - (matching - score * all_words);
        let rest = 1.0 - (typos + 1.0 - count - of_typos * (typos + 1.0));
        let of_most = (most - count + rest) / (most + 1.0);
        shortest((matching - 1.0 + of_most) / all_words)
    }
}

/// The raw number of matching words; empty without such a rule.
fn words_of(details: &str) -> &str {
    let words = Members::of(details).into_iter().flatten().find(|rule| rule.key == "words");
    words.and_then(|words| hit::field(words.value, "matchingWords")).unwrap_or_default()
}

/// The most typos that the hit's shard allows.
fn typos_of(details: &str) -> Option<f64> {
    let typo = Members::of(details)?.find(|rule| rule.key == "typo")?;
    hit::field(typo.value, "maxTypoCount").and_then(number)
}

/// The quotient of small counts nearest to a number made of several divisions: nodes divide only once.
fn shortest(score: f64) -> f64 {
    const COUNTS_MAX: u32 = 20_000;
    let quotient = (1..=COUNTS_MAX).map(f64::from).find_map(|count| {
        let share = (score * count).round() / count;
        ((share - score).abs() < 1e-14).then_some(share)
    });
    quotient.unwrap_or(score)
}

/// The values of a hit with these details. `score` is its score on this scale.
pub(crate) fn values<'a>(
    details: &'a str,
    score: f64,
    weight: f64,
    scale: &Scale<'_>,
) -> Result<Vec<Value<'a>>, Fault> {
    let members = Members::of(details).ok_or_else(|| Fault::new("ranking details are not an object"))?;
    let mut rules = Vec::with_capacity(8);
    for rule in members {
        let order = required(rule.key, rule.value, "order")?;
        rules.push((order, read(details, rule.key, rule.value, weight, scale)?));
    }
    rules.sort_by(|left, right| left.0.total_cmp(&right.0));
    let mut values = Vec::with_capacity(rules.len());
    let mut groups = Vec::<(usize, Vec<Rank>)>::new();
    let mut in_group = false;
    for (_, rule) in rules {
        match rule {
            Rule::Value(value) => {
                values.push(value);
                in_group = false;
            }
            Rule::Rank(rank) => {
                match groups.last_mut().filter(|_| in_group) {
                    Some((_, group)) => group.push(rank),
                    None => {
                        groups.push((values.len(), vec![rank]));
                        values.push(Value::Score(0.0));
                    }
                }
                in_group = true;
            }
        }
    }
    let has_vector = values.iter().any(|value| matches!(value, Value::Vector(_)));
    let first_is_known = !has_vector && (groups.len() == 1 || scale.scores_end_at_sorts);
    for (position, (at, group)) in groups.iter().enumerate() {
        let known = position == 0 && first_is_known;
        values[*at] = Value::Score(if known { score } else { joined(group) } * weight);
    }
    Ok(values)
}

/// `Greater` means that the left hit comes first. The two scores are the weighted whole scores.
pub(crate) fn compare(left: (&[Value<'_>], f64), right: (&[Value<'_>], f64)) -> Ordering {
    let (mut lefts, mut rights) = (left.0.iter(), right.0.iter());
    loop {
        match (lefts.next(), rights.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => match one.compare(other) {
                Some(Ordering::Equal) => {}
                Some(ordering) => return ordering,
                None => {
                    let left_over = lefts.len().cmp(&rights.len());
                    return left_over.then_with(|| left.1.total_cmp(&right.1));
                }
            },
        }
    }
}

/// `Greater` means that the left hit comes first. A hybrid search compares the hits of its halves this way
/// (milli/src/search/hybrid.rs).
pub(crate) fn compare_halves(left: &[Value<'_>], right: &[Value<'_>]) -> Ordering {
    let (mut lefts, mut rights) = (left.iter(), right.iter());
    loop {
        let ordering = match (lefts.next(), rights.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (
                Some(Value::Geo { ascending, distance }),
                Some(Value::Geo { ascending: same, distance: other }),
            ) if ascending == same => match (distance, other) {
                (Some(one), Some(other)) if *ascending => other.total_cmp(one),
                (Some(one), Some(other)) => one.total_cmp(other),
                (one, other) => one.is_some().cmp(&other.is_some()),
            },
            (Some(one), Some(other)) => match (one.compare(other), one.score(), other.score()) {
                (Some(ordering), ..) => ordering,
                (None, Some(score), _) => {
                    return if score == 0.0 { Ordering::Less } else { Ordering::Greater };
                }
                (None, _, Some(score)) => {
                    return if score == 0.0 { Ordering::Greater } else { Ordering::Less };
                }
                (None, None, None) => Ordering::Equal,
            },
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

impl Value<'_> {
    fn score(&self) -> Option<f64> {
        match self {
            Self::Score(score) | Self::Vector(score) => Some(*score),
            Self::Sort { .. } | Self::Geo { .. } => None,
        }
    }

    /// `None` for kinds or directions that do not compare.
    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Score(one) | Self::Vector(one), Self::Score(other) | Self::Vector(other)) => {
                Some(compare_close(*one, *other))
            }
            (Self::Sort { ascending, value }, Self::Sort { ascending: other_ascending, value: other }) => {
                (ascending == other_ascending).then(|| value.compare(other, *ascending))
            }
            (
                Self::Geo { ascending, distance },
                Self::Geo { ascending: other_ascending, distance: other },
            ) => (ascending == other_ascending).then(|| match (distance, other) {
                // Meilisearch orders far before near between queries, in both directions.
                (Some(one), Some(other)) => compare_close(*one, *other),
                (one, other) => one.is_some().cmp(&other.is_some()),
            }),
            (Self::Score(_) | Self::Vector(_) | Self::Sort { .. } | Self::Geo { .. }, _) => None,
        }
    }
}

impl SortValue<'_> {
    fn compare(&self, other: &Self, ascending: bool) -> Ordering {
        let directed = |ordering: Ordering| if ascending { ordering.reverse() } else { ordering };
        match (self, other) {
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Null, _) => Ordering::Less,
            (_, Self::Null) => Ordering::Greater,
            (Self::Number(_), Self::Text(_)) => Ordering::Greater,
            (Self::Text(_), Self::Number(_)) => Ordering::Less,
            (Self::Number(one), Self::Number(other)) => {
                directed(one.partial_cmp(other).unwrap_or(Ordering::Equal))
            }
            (Self::Text(one), Self::Text(other)) => directed(one.cmp(other)),
            (Self::Other, _) | (_, Self::Other) => Ordering::Equal,
        }
    }
}

/// Floats that differ only by rounding are equal.
fn compare_close(left: f64, right: f64) -> Ordering {
    if (left - right).abs() <= f64::EPSILON { Ordering::Equal } else { left.total_cmp(&right) }
}

enum Rule<'a> {
    Rank(Rank),
    Value(Value<'a>),
}

/// Reads one rule. `details`: all rules of the hit, among them the one named `name` with the value `raw`.
fn read<'a>(
    details: &str,
    name: &'a str,
    raw: &'a str,
    weight: f64,
    scale: &Scale<'_>,
) -> Result<Rule<'a>, Fault> {
    let score = || required(name, raw, "score");
    let count = |field: &str| required(name, raw, field);
    let rank = |score: f64, max: Option<f64>| Rule::Rank(scale.rank(details, name, score, max));
    Ok(match name {
        "words" => rank(score()?, Some(count("maxMatchingWords")?)),
        "typo" => {
            let (own, count) = (count("maxTypoCount")?, count("typoCount")?);
            let most = scale.typos.get(words_of(details)).copied();
            let ranks = most.unwrap_or(own).max(own) + 1.0;
            rank((ranks - count) / ranks, Some(ranks))
        }
        "proximity" | "attribute" | "attributeRank" | "wordPosition" => rank(score()?, None),
        // The match type ranks among three, then the number of matching words.
        "exactness" => {
            let words = hit::field(raw, "maxMatchingWords").and_then(number);
            rank(score()?, Some(3.0 * (words.unwrap_or(0.0) + 1.0)))
        }
        "skipped" => Rule::Rank(Rank { rank: 0.0, ranks: 1.0 }),
        "vectorSort" => {
            let similarity = hit::field(raw, "similarity").and_then(number);
            Rule::Value(Value::Vector(similarity.unwrap_or(0.0) * weight))
        }
        _ => Rule::Value(sort(name, raw)?),
    })
}

fn sort<'a>(name: &'a str, raw: &'a str) -> Result<Value<'a>, Fault> {
    let ascending = name.ends_with(":asc");
    if !ascending && !name.ends_with(":desc") {
        return Err(Fault::new(format!("hits cannot be compared by the ranking rule `{}`", shorten(name))));
    }
    if name.starts_with("_geoPoint(") {
        let distance = hit::field(raw, "distance").and_then(number);
        return Ok(Value::Geo { ascending, distance });
    }
    let value = hit::field(raw, "value");
    let value = value.ok_or_else(|| Fault::new(format!("ranking rule `{}` has no value", shorten(name))))?;
    let value = match (string(value), number(value)) {
        (Some(text), _) => SortValue::Text(text),
        (None, Some(number)) => SortValue::Number(number),
        (None, None) if value == "null" => SortValue::Null,
        (None, None) => SortValue::Other,
    };
    Ok(Value::Sort { ascending, value })
}

fn required(rule: &str, raw: &str, field: &str) -> Result<f64, Fault> {
    let value = hit::field(raw, field).and_then(number);
    value.ok_or_else(|| Fault::new(format!("ranking rule `{}` has no number `{field}`", shorten(rule))))
}

/// The least number of ranks that gives this score.
fn denominator(score: f64) -> u32 {
    let fits = |ranks: &u32| {
        let rank = score * f64::from(*ranks);
        (rank - rank.round()).abs() < 1e-9 * f64::from(*ranks)
    };
    (1..=RANKS_MAX).find(fits).unwrap_or(RANKS_MAX)
}

fn common_multiple(one: u32, other: u32) -> u32 {
    let (mut divisor, mut rest) = (one, other);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let multiple = (one / divisor.max(1)).saturating_mul(other);
    // More ranks than any rule has mean that the scores are not shares of one number.
    if multiple <= RANKS_MAX { multiple } else { one.max(other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_values(details: &'static str, score: f64) -> Vec<Value<'static>> {
        read_values_of(details, score, false)
    }

    fn read_values_of(details: &'static str, score: f64, scores_end_at_sorts: bool) -> Vec<Value<'static>> {
        let mut scale = Scale::new(scores_end_at_sorts);
        scale.learn(details);
        values(details, score, 0.5, &scale).unwrap()
    }

    #[test]
    fn rules_without_a_sort_between_them_make_one_score() {
        let one = r#"{"words":{"order":0,"matchingWords":1,"maxMatchingWords":2,"score":0.5},"proximity":{"order":1,"score":0.75}}"#;
        assert_eq!(read_values(one, 0.3), [Value::Score(0.15)]);
        // The first group: (1 - 1) * 4 + 3 of 2 * 4; after the sort: 2 of 3 * 2.
        let two = r#"{"words":{"order":0,"matchingWords":1,"maxMatchingWords":2,"score":0.5},"proximity":{"order":1,"score":0.75},
            "a:asc":{"order":2,"value":"X"},"exactness":{"order":3,"matchType":"noExactMatch","matchingWords":1,"maxMatchingWords":1,"score":0.3333333333333333}}"#;
        let sort = Value::Sort { ascending: true, value: SortValue::Text("X".into()) };
        let expected = [Value::Score(0.1875), sort, Value::Score(0.5 * 2.0 / 6.0)];
        // The whole score of all groups, and that of the first group alone.
        let all = (2.0 * 6.0 + 2.0) / (8.0 * 6.0);
        assert_eq!(read_values(two, all), expected);
        // On older versions the score is that of the first group, which is therefore known exactly.
        assert_eq!(read_values_of(two, 0.375, true), expected);
    }

    #[test]
    fn values_compare_as_meilisearch_compares_them() {
        let score = Value::Score;
        let number = |ascending, value| Value::Sort { ascending, value: SortValue::Number(value) };
        let text =
            |value: &'static str| Value::Sort { ascending: true, value: SortValue::Text(value.into()) };
        let null = Value::Sort { ascending: true, value: SortValue::Null };
        let geo = |distance| Value::Geo { ascending: true, distance };
        let check = |left: &[Value<'_>], right: &[Value<'_>], expected: Ordering| {
            assert_eq!(compare((left, 0.9), (right, 0.1)), expected, "{left:?} {right:?}");
            assert_eq!(compare((right, 0.1), (left, 0.9)), expected.reverse(), "{right:?} {left:?}");
        };
        check(&[score(0.5)], &[score(0.5)], Ordering::Equal);
        check(&[score(0.6)], &[Value::Vector(0.5)], Ordering::Greater);
        check(&[score(0.5), score(0.1)], &[score(0.5)], Ordering::Greater);
        check(&[number(true, 1.0)], &[number(true, 2.0)], Ordering::Greater);
        check(&[number(false, 1.0)], &[number(false, 2.0)], Ordering::Less);
        check(&[number(true, 9.0)], &[text("a")], Ordering::Greater);
        check(&[text("a")], &[text("b")], Ordering::Greater);
        check(&[text("a")], std::slice::from_ref(&null), Ordering::Greater);
        check(&[geo(Some(5.0))], &[geo(Some(7.0))], Ordering::Less);
        check(&[geo(Some(5.0))], &[geo(None)], Ordering::Greater);
        // Kinds do not compare, so more values left decide, then the whole score.
        check(&[score(0.5)], &[text("a"), null.clone()], Ordering::Less);
        check(&[score(0.0)], &[text("a")], Ordering::Greater);
        check(&[number(true, 1.0)], &[number(false, 1.0)], Ordering::Greater);
    }

    #[test]
    fn scores_are_those_among_the_most_typos_of_any_shard() {
        let hit = |typos: u32, most: u32, proximity: &str| {
            format!(
                r#"{{"words":{{"order":0,"matchingWords":2,"maxMatchingWords":3,"score":0.6}},"typo":{{"order":1,"typoCount":{typos},"maxTypoCount":{most},"score":0.5}},"proximity":{{"order":2,"score":{proximity}}}}}"#
            )
        };
        let (own, others) = (hit(1, 1, "0.75"), hit(0, 2, "0.5"));
        let mut scale = Scale::default();
        scale.learn(&own);
        scale.learn(&others);
        // Rank 1 of 2, then rank 3 of 4: (0 * 4 + 3) / 8. Among three ranks it is rank 2: (1 * 4 + 3) / 12.
        let score = |of_typos: f64| (1.0 + of_typos) / 3.0;
        assert_eq!(scale.score(&own, score(3.0 / 8.0)), 19.0 / 36.0);
        assert_eq!(scale.score(&others, score(0.9)), score(0.9));
        let alone = Scale::default();
        assert_eq!(alone.score(&own, 0.4), 0.4);
        assert_eq!(alone.score("{}", 0.4), 0.4);
    }

    #[test]
    fn redacted_values_cannot_be_compared() {
        let hidden = r#"{"<hidden-rule-0>":{"order":0,"value":"<hidden>"}}"#;
        assert!(values(hidden, 1.0, 1.0, &Scale::default()).is_err());
    }
}
