//! The ranking key of a hit, read from `_rankingScoreDetails`, and the order of keys.
//!
//! - Keys compare rule by rule in the rules' `order`; the first difference decides. Scores are compared only for rules
//!   whose scores mean the same on every shard: a typo score depends on the words in a shard.
//! - Each rule becomes one `Part` in which greater is better, so comparing knows no rule but `skipped`.
//! - Two keys with different rules do not compare: that is a fault, never a guess.
//!
//! The rules' shapes are those of Meilisearch's `ScoreDetails::to_json_map` (milli/src/score_details.rs).

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::error::Fault;
use crate::json::normalize::normalize;
use crate::json::{Elements, Members, number, shorten, string};

/// The key of one hit. The buffer is reused from hit to hit.
#[derive(Debug, Default, Clone)]
pub(crate) struct Key<'a> {
    parts: Vec<Part<'a>>,
    /// The position to which a rule of the index pins this hit, in place of a ranking.
    pub(crate) pin: Option<usize>,
    /// The offset in the text where the last rule begins, if the rules are in their order there; else 0.
    last_at: usize,
}

/// A `_geoPoint` rule and one hit's result under it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GeoPart {
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) ascending: bool,
    /// Metres to the first document of the hit's bucket; `None` without a place.
    pub(crate) distance: Option<f64>,
}

/// One ranking rule's result for a hit; greater is better in every field but `text`.
#[derive(Debug, Clone, Default)]
struct Part<'a> {
    order: f64,
    /// The rule's raw name, such as `typo` or `price:asc`.
    name: &'a str,
    /// Decides first: the kind of value (number, string, missing), the match type, found or not.
    class: u8,
    first: f64,
    second: f64,
    text: Option<Text<'a>>,
}

#[derive(Debug, Clone)]
struct Text<'a> {
    text: Cow<'a, str>,
    ascending: bool,
}

/// The raw fields that rules use.
#[derive(Default)]
struct Fields<'a> {
    order: Option<&'a str>,
    score: Option<&'a str>,
    matching_words: Option<&'a str>,
    typo_count: Option<&'a str>,
    attribute_ranking_order_score: Option<&'a str>,
    query_word_distance_score: Option<&'a str>,
    match_type: Option<&'a str>,
    value: Option<&'a str>,
    distance: Option<&'a str>,
    similarity: Option<&'a str>,
}

const SKIPPED: &str = "skipped";
const PIN: &str = "pin";
const VECTOR_SORT: &str = "vectorSort";
const GEO_POINT: &str = "_geoPoint(";
const CLASS_MISSING: u8 = 1;
const CLASS_STRING: u8 = 2;
const CLASS_NUMBER: u8 = 3;

impl<'a> Key<'a> {
    /// Reads the details object at the start of `text` into this key. Returns the offset behind it.
    pub(crate) fn read(&mut self, text: &'a str) -> Result<usize, Fault> {
        self.parts.clear();
        let rules = Members::of(text).ok_or_else(|| Fault::new("ranking details are not an object"))?;
        self.read_rules(rules)
    }

    /// Like `read`, using the key of another text: neighbours in a leg mostly differ only in their last rule.
    pub(crate) fn read_like(&mut self, text: &'a str, other: &Self, others: &'a str) -> Result<usize, Fault> {
        let same = other.last_at;
        if same == 0 || text.as_bytes().get(..same) != others.as_bytes().get(..same) {
            return self.read(text);
        }
        self.parts.clear();
        self.parts.extend_from_slice(&other.parts[..other.parts.len() - 1]);
        self.read_rules(Members::resume(text, same))
    }

    fn read_rules(&mut self, mut rules: Members<'a>) -> Result<usize, Fault> {
        self.pin = None;
        self.last_at = 0;
        for rule in &mut rules {
            if rule.key == PIN {
                self.pin = Some(pinned_position(rule.value)?);
                continue;
            }
            self.parts.push(Part::read(rule.key, rule.value)?);
            self.last_at = rule.key_at;
        }
        let end = rules.end().ok_or_else(|| Fault::new("ranking details are cut short"))?;
        if !self.parts.is_sorted_by(|left, right| left.order < right.order) {
            self.last_at = 0;
            self.parts.sort_by(|left, right| left.order.total_cmp(&right.order));
            if self.parts.windows(2).any(|pair| pair[0].order >= pair[1].order) {
                return Err(Fault::new("two ranking rules claim the same order"));
            }
        }
        if self.pin.is_some() {
            self.last_at = 0;
        }
        Ok(end)
    }

    /// `Greater` means that this key's hit comes first.
    pub(crate) fn compare(&self, other: &Self) -> Result<Ordering, Fault> {
        self.compare_rules(other, 0, usize::MAX)
    }

    /// Compares by the rules from `start` up to, but without, `end`.
    pub(crate) fn compare_rules(&self, other: &Self, start: usize, end: usize) -> Result<Ordering, Fault> {
        let mut theirs = other.parts.iter().take(end).skip(start);
        for ours in self.parts.iter().take(end).skip(start) {
            let Some(theirs) = theirs.next() else {
                return Err(Fault::new(format!("ranking details lack the rule `{}`", shorten(ours.name))));
            };
            let ordering = ours.compare(theirs)?;
            if ordering != Ordering::Equal || ours.name == SKIPPED {
                return Ok(ordering);
            }
        }
        match theirs.next() {
            None => Ok(Ordering::Equal),
            Some(rule) => {
                Err(Fault::new(format!("ranking details have one more rule: `{}`", shorten(rule.name))))
            }
        }
    }

    /// Whether a node may list a hit with this key after one with the key `before`. Nodes list hits of equal similarity
    /// in any order (engines up to 1.15 rank them one by one).
    pub(crate) fn may_follow(&self, before: &Self) -> Result<bool, Fault> {
        if self.pin.is_some() || before.pin.is_some() {
            return Ok(true);
        }
        let ranked = |part: &Part<'_>| part.name == VECTOR_SORT && part.class == CLASS_NUMBER;
        let end = self.parts.iter().position(ranked).map_or(usize::MAX, |vector| vector + 1);
        Ok(self.compare_rules(before, 0, end)? != Ordering::Greater)
    }

    /// The position of the first `_geoPoint` rule from `start` on.
    pub(crate) fn geo_rule(&self, start: usize) -> Option<usize> {
        self.parts.iter().skip(start).position(|part| part.name.starts_with(GEO_POINT)).map(|at| at + start)
    }

    /// The `_geoPoint` rule at `at`; `None` if the search was cut off before it.
    pub(crate) fn geo_part(&self, at: usize) -> Result<Option<GeoPart>, Fault> {
        let Some(part) = self.parts.get(at).filter(|part| part.name.starts_with(GEO_POINT)) else {
            return Ok(None);
        };
        let wrong = || Fault::new(format!("unknown ranking rule `{}`", shorten(part.name)));
        let (point, order) = part.name[GEO_POINT.len()..].rsplit_once(':').ok_or_else(wrong)?;
        let (latitude, longitude) =
            point.strip_suffix(')').and_then(|point| point.split_once(',')).ok_or_else(wrong)?;
        let ascending = order == "asc";
        let far = if ascending { -part.first } else { part.first };
        Ok(Some(GeoPart {
            latitude: latitude.trim().parse().map_err(|_| wrong())?,
            longitude: longitude.trim().parse().map_err(|_| wrong())?,
            ascending,
            distance: (part.class == CLASS_NUMBER).then_some(far),
        }))
    }

    /// The number of levels of buckets that the rules make, without the tie-break, and how many of these levels have
    /// both hits in one bucket.
    pub(crate) fn levels(&self, other: &Self, tie_break: Option<&str>) -> Result<(usize, usize), Fault> {
        let (mut levels, mut shared, mut parted) = (0, 0, false);
        for (at, ours) in self.parts.iter().enumerate() {
            if Some(ours.name) == tie_break {
                continue;
            }
            let theirs = other.parts.get(at);
            let equal = match theirs {
                Some(theirs) => ours.compare(theirs)?.is_eq(),
                None => false,
            };
            // The engine has two rules under each of these names.
            if matches!(ours.name, "attribute" | "exactness") {
                let first =
                    |part: &Part<'_>| (part.class, if part.name == "attribute" { part.first } else { 0.0 });
                levels += 1;
                parted |= theirs.is_none_or(|theirs| first(ours) != first(theirs));
                shared += usize::from(!parted);
            }
            levels += 1;
            parted |= !equal;
            shared += usize::from(!parted);
        }
        Ok((levels, shared))
    }

    /// Compares only the last rule: the tie-break, where there is one.
    pub(crate) fn compare_last(&self, other: &Self) -> Result<Ordering, Fault> {
        match (self.parts.last(), other.parts.last()) {
            (Some(ours), Some(theirs)) => ours.compare(theirs),
            (ours, theirs) => Ok(ours.is_some().cmp(&theirs.is_some())),
        }
    }
}

fn pinned_position(raw: &str) -> Result<usize, Fault> {
    let position = Members::of(raw).into_iter().flatten().find(|field| field.key == "position");
    let position = position.and_then(|field| field.value.parse().ok());
    position.ok_or_else(|| Fault::new("a pinned hit has no position"))
}

impl<'a> Part<'a> {
    fn read(name: &'a str, raw: &'a str) -> Result<Self, Fault> {
        let fields = Fields::read(name, raw)?;
        let order = required(name, "order", fields.order)?;
        let part = Self { order, name, ..Self::default() };
        match name {
            "words" => Ok(Self { first: required(name, "matchingWords", fields.matching_words)?, ..part }),
            "typo" => Ok(Self { first: -required(name, "typoCount", fields.typo_count)?, ..part }),
            "proximity" | "attributeRank" | "wordPosition" => {
                Ok(Self { first: required(name, "score", fields.score)?, ..part })
            }
            "attribute" => {
                let ranking = fields.attribute_ranking_order_score;
                let first = required(name, "attributeRankingOrderScore", ranking)?;
                // The second half is absent where an index ranks by attribute rank alone.
                let second = optional(name, "queryWordDistanceScore", fields.query_word_distance_score)?;
                Ok(Self { first, second: second.unwrap_or(0.0), ..part })
            }
            "exactness" => part.exactness(&fields),
            VECTOR_SORT => {
                let similarity = optional(name, "similarity", fields.similarity)?;
                Ok(part.found_or_missing(similarity))
            }
            SKIPPED => Ok(part),
            _ => part.sort(&fields),
        }
    }

    fn exactness(self, fields: &Fields<'_>) -> Result<Self, Fault> {
        let class = match fields.match_type {
            Some("\"exactMatch\"") => 3,
            Some("\"matchesStart\"") => 2,
            Some("\"noExactMatch\"") => 1,
            _ => return Err(Fault::new("ranking rule `exactness` has no known matchType")),
        };
        // Only `noExactMatch` has a count.
        let first = optional(self.name, "matchingWords", fields.matching_words)?.unwrap_or(0.0);
        Ok(Self { class, first, ..self })
    }

    fn sort(self, fields: &Fields<'a>) -> Result<Self, Fault> {
        let (field, ascending) = if let Some(field) = self.name.strip_suffix(":asc") {
            (field, true)
        } else if let Some(field) = self.name.strip_suffix(":desc") {
            (field, false)
        } else if self.name.starts_with("<hidden-rule-") {
            let reason = format!("the values of the sort rule `{}` are redacted", shorten(self.name));
            return Err(Fault::new(reason));
        } else {
            return Err(Fault::new(format!("unknown ranking rule `{}`", shorten(self.name))));
        };
        if field.starts_with(GEO_POINT) {
            let distance = optional(self.name, "distance", fields.distance)?;
            return Ok(self.found_or_missing(distance.map(|far| if ascending { -far } else { far })));
        }
        let Some(raw) = fields.value else {
            return Err(Fault::new(format!("ranking rule `{}` has no value", shorten(self.name))));
        };
        if !raw.starts_with('[') {
            return self.sort_value(raw, ascending);
        }
        // A node lists a document at the best of its values.
        let mut best = Self { class: CLASS_MISSING, ..self.clone() };
        for element in Elements::of(raw) {
            let candidate = self.clone().sort_value(element, ascending)?;
            if candidate.compare(&best)? == Ordering::Greater {
                best = candidate;
            }
        }
        Ok(best)
    }

    fn sort_value(self, raw: &'a str, ascending: bool) -> Result<Self, Fault> {
        let text = match raw.as_bytes().first() {
            Some(b'"') => {
                let text = string(raw).ok_or_else(|| Fault::new("a sort value is cut short"))?;
                Some(text)
            }
            Some(b't' | b'f') => Some(Cow::Borrowed(raw)),
            // No node sorts by null, or by objects and arrays within arrays.
            Some(b'n' | b'{' | b'[') => return Ok(Self { class: CLASS_MISSING, ..self }),
            _ => None,
        };
        if let Some(text) = text {
            return Ok(Self { class: CLASS_STRING, text: Some(Text { text, ascending }), ..self });
        }
        let value = required(self.name, "value", Some(raw))?;
        Ok(Self { class: CLASS_NUMBER, first: if ascending { -value } else { value }, ..self })
    }

    fn found_or_missing(self, found: Option<f64>) -> Self {
        match found {
            Some(first) => Self { class: CLASS_NUMBER, first, ..self },
            None => Self { class: CLASS_MISSING, ..self },
        }
    }

    fn compare(&self, other: &Self) -> Result<Ordering, Fault> {
        if self.name != other.name {
            return match (self.name, other.name) {
                (SKIPPED, _) => Ok(Ordering::Less),
                (_, SKIPPED) => Ok(Ordering::Greater),
                (ours, theirs) => Err(Fault::new(format!(
                    "ranking details contradict each other: `{}` stands where `{}` does",
                    shorten(theirs),
                    shorten(ours)
                ))),
            };
        }
        let numbers = (self.class.cmp(&other.class))
            .then_with(|| order_of(self.first, other.first))
            .then_with(|| order_of(self.second, other.second));
        Ok(numbers.then_with(|| match (&self.text, &other.text) {
            (Some(ours), Some(theirs)) => ours.compare(theirs),
            // The class is equal, so both are numbers or both are missing.
            _ => Ordering::Equal,
        }))
    }
}

impl Text<'_> {
    fn compare(&self, other: &Self) -> Ordering {
        if self.text == other.text {
            return Ordering::Equal;
        }
        let ordering = normalize(&self.text).cmp(&normalize(&other.text));
        if self.ascending { ordering.reverse() } else { ordering }
    }
}

impl<'a> Fields<'a> {
    fn read(name: &str, raw: &'a str) -> Result<Self, Fault> {
        let mut fields = Self::default();
        let members = Members::of(raw)
            .ok_or_else(|| Fault::new(format!("ranking rule `{}` is not an object", shorten(name))))?;
        for member in members {
            let field = match member.key {
                "order" => &mut fields.order,
                "score" => &mut fields.score,
                "matchingWords" => &mut fields.matching_words,
                "typoCount" => &mut fields.typo_count,
                "attributeRankingOrderScore" => &mut fields.attribute_ranking_order_score,
                "queryWordDistanceScore" => &mut fields.query_word_distance_score,
                "matchType" => &mut fields.match_type,
                "value" => &mut fields.value,
                "distance" => &mut fields.distance,
                "similarity" => &mut fields.similarity,
                _ => continue,
            };
            *field = Some(member.value);
        }
        Ok(fields)
    }
}

fn required(rule: &str, field: &str, raw: Option<&str>) -> Result<f64, Fault> {
    let value = raw.and_then(number);
    value.ok_or_else(|| Fault::new(format!("ranking rule `{}` has no number `{field}`", shorten(rule))))
}

fn optional(rule: &str, field: &str, raw: Option<&str>) -> Result<Option<f64>, Fault> {
    match raw {
        None | Some("null") => Ok(None),
        Some(_) => required(rule, field, raw).map(Some),
    }
}

/// Numbers always compare, because JSON has no NaN. Nodes distinguish the two zeros and sort -0.0 behind 0.0, as
/// observed on 1.15 and 1.50. Ascending values are negated here, so of two zeros the negative one is the greater both
/// ways.
pub(crate) fn order_of(left: f64, right: f64) -> Ordering {
    let zeros = || left.is_sign_negative().cmp(&right.is_sign_negative());
    left.partial_cmp(&right).unwrap_or(Ordering::Equal).then_with(zeros)
}
