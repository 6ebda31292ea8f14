//! Why one node and a cluster may differ: a closed list, each cause with a condition that a program checks.
//! Invariants: a cause explains a difference only if its condition holds for the query and the documents, and the
//! answers agree once the suspected part is removed. The name of a family explains nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::differential::compare::{Difference, compare};
use crate::differential::corpus::Index;
use crate::differential::question::{Answer, Question};
use crate::differential::rank_order::{self, Shown};
use crate::differential::targets::{Both, Case, Ties};
use crate::differential::tokens::words_of;

/// The most words that the engine derives from one word: words that begin with it, one typo away, two typos away.
const BEGUN_MAX: usize = 1_000;
const ONE_TYPO_MAX: usize = 150;
const TWO_TYPOS_MAX: usize = 50;
/// The engine keeps a prefix in a database if at least this many words begin with it and it has at most this many
/// letters.
const PREFIX_WORDS_MIN: usize = 100;
const PREFIX_LETTERS_MAX: usize = 4;
/// The size of a page that contains all hits: the default of `maxTotalHits`.
const WHOLE_PAGE: usize = 1_000;
/// Parameters that highlight or crop what matched.
const MARKS: [&str; 3] = ["attributesToHighlight", "attributesToCrop", "showMatchesPosition"];
/// Similarities that differ by less are equal.
const SIMILARITY_TOLERANCE: f64 = 1e-6;
/// The most documents of equal distance that the engine orders together.
const BUCKET_DOCUMENTS_MAX: usize = 1_000;
/// The greatest difference between a shown similarity and the one that the harness computes.
const TRUTH_TOLERANCE: f64 = 1e-4;

/// Why two answers may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// Documents of equal rank are in another order; only if ties are not compared.
    EqualRanks,
    /// Shown scores divide by the greatest number of typos, which depends on the words of all documents.
    TypoMaximum,
    /// The frequency of words decides which are dropped first.
    FrequencyStrategy,
    /// More words are near a query's word than the engine considers.
    DerivationCap,
    /// The engine answers a short prefix of many words from a database, but not one of few words.
    PrefixDatabase,
    /// The frequency of the halves decides where the engine splits a word.
    SplitWord,
    /// Under `distinct` without pages, or under a threshold, totals and facets cover only what the engine happened to
    /// visit.
    EstimatedTotal,
    /// How far the engine had to search decides which misspellings it marks in a text.
    MarkedMisspelling,
    /// A smaller index of vectors finds nearer neighbours.
    NearerNeighbours,
    /// Facet values of equal count come in the order in which the engine meets them in its tree of values. The shape of
    /// the tree depends on the history of all values, which no answer reveals.
    FacetTree,
    /// In the engine's arithmetic some places near a point have distance zero and farther ones do not. The engine walks
    /// from the nearest and stops at the first with a distance, so what it finds depends on the places in between.
    ZeroRadius,
    /// One node lists documents with values of several kinds several times or not at all, but skips to a page as if
    /// each was listed once: its own pages contradict each other.
    SkippedDocuments,
    /// Nodes count fields and embeddings over all their documents, not by shard. While a node is missing, some of these
    /// are counted once per copy and some less often.
    MissingNode,
    /// More places are within a metre of each other than the engine puts into one bucket. The shape of its spatial
    /// index decides which of them are in the first bucket.
    CrowdedPlace,
    /// With proximity by attribute the engine remembers which documents of one bucket have two words together, and
    /// reuses that for the next bucket: a document gets another proximity than when it is queried alone.
    RememberedProximity,
}

impl Cause {
    /// The causes that are checked one by one. Ties are removed before.
    pub(super) const ALL: &[Self] = &[
        Self::TypoMaximum,
        Self::FrequencyStrategy,
        Self::EstimatedTotal,
        Self::MarkedMisspelling,
        Self::NearerNeighbours,
        Self::FacetTree,
        Self::ZeroRadius,
        Self::SkippedDocuments,
        Self::CrowdedPlace,
        Self::RememberedProximity,
        Self::MissingNode,
        Self::PrefixDatabase,
        Self::SplitWord,
        Self::DerivationCap,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::EqualRanks => "equal-ranks",
            Self::TypoMaximum => "typo-maximum",
            Self::FrequencyStrategy => "frequency-strategy",
            Self::DerivationCap => "derivation-cap",
            Self::PrefixDatabase => "prefix-database",
            Self::SplitWord => "split-word",
            Self::EstimatedTotal => "estimated-total",
            Self::MarkedMisspelling => "marked-misspelling",
            Self::NearerNeighbours => "nearer-neighbours",
            Self::FacetTree => "facet-tree",
            Self::ZeroRadius => "zero-radius",
            Self::SkippedDocuments => "skipped-documents",
            Self::CrowdedPlace => "crowded-place",
            Self::MissingNode => "missing-node",
            Self::RememberedProximity => "remembered-proximity",
        }
    }

    /// Whether the cause's condition holds.
    pub(super) fn explains(self, case: &Case<'_>) -> anyhow::Result<bool> {
        match self {
            Self::EqualRanks => Ok(false),
            Self::TypoMaximum => typo_maximum(case),
            Self::FrequencyStrategy => frequency_strategy(case),
            Self::DerivationCap => derivation_cap(case),
            Self::PrefixDatabase => prefix_database(case),
            Self::SplitWord => split_word(case),
            Self::EstimatedTotal => estimated_total(case),
            Self::MarkedMisspelling => marked_misspelling(case),
            Self::NearerNeighbours => nearer_neighbours(case),
            Self::FacetTree => facet_tree(case),
            Self::ZeroRadius => zero_radius(case),
            Self::SkippedDocuments => skipped_documents(case),
            Self::CrowdedPlace => crowded_place(case),
            Self::MissingNode => missing_node(case),
            Self::RememberedProximity => remembered_proximity(case),
        }
    }
}

/// Whether both give the same answer to a question, up to ties if ties are not compared.
pub(super) fn agrees(case: &Case<'_>, question: &Question) -> anyhow::Result<bool> {
    let (expected, found) = case.both.ask(question, case.uid)?;
    let differences = compare(&expected, &found);
    Ok(differences.is_empty() || without_ties(case.both, question, case.uid, &differences)?.is_empty())
}

/// The differences that remain when documents of equal rank may be in any order; all differences if they may not.
pub(super) fn without_ties(
    both: &Both<'_>,
    question: &Question,
    uid: &str,
    differences: &[Difference],
) -> anyhow::Result<Vec<Difference>> {
    let is_of_hits = |one: &Difference| one.kind.starts_with("hits");
    let Some(detailed) = detailed(question).filter(|_| both.ties == Ties::Any) else {
        return Ok(differences.to_vec());
    };
    if !differences.iter().any(is_of_hits) || differences.iter().any(|one| one.kind == "hits.count") {
        return Ok(differences.to_vec());
    }
    let (expected, found) = both.ask(&detailed, uid)?;
    if !rank_order::agree(&expected, &found, shown(question), is_later(question)) {
        return Ok(differences.to_vec());
    }
    Ok(differences.iter().filter(|one| !is_of_hits(one)).cloned().collect())
}

fn typo_maximum(case: &Case<'_>) -> anyhow::Result<bool> {
    let Some(detailed) = detailed(case.question) else { return Ok(false) };
    let is_score = |kind: &str| kind == "hits._rankingScore" || kind == "hits._rankingScoreDetails";
    let kinds = case.kinds.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>();
    let only_scores = kinds.iter().all(|kind| is_score(kind));
    let scores_and_ties = case.both.ties == Ties::Any && kinds.iter().all(|kind| kind.starts_with("hits"));
    if kinds.contains(&"hits.count") || !(only_scores || scores_and_ties) {
        return Ok(false);
    }
    let (expected, found) = case.both.ask(&detailed, case.uid)?;
    let shown = Shown { score: false, details: false };
    Ok(rank_order::typo_maxima_differ(&expected, &found)
        && rank_order::agree(&expected, &found, shown, is_later(case.question)))
}

fn frequency_strategy(case: &Case<'_>) -> anyhow::Result<bool> {
    if case.question.member("matchingStrategy") != "frequency" {
        return Ok(false);
    }
    for strategy in ["last", "all"] {
        if !agrees(case, &case.question.with("matchingStrategy", json!(strategy)))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn estimated_total(case: &Case<'_>) -> anyhow::Result<bool> {
    let question = case.question;
    let has_threshold = !question.member("rankingScoreThreshold").is_null();
    let index = case.both.corpus.index(question.index);
    let is_distinct = !question.member("distinct").is_null()
        || index.is_some_and(|index| !index.settings["distinctAttribute"].is_null());
    let has_pages = !question.member("page").is_null() || !question.member("hitsPerPage").is_null();
    let is_count = |kind: &str| {
        matches!(kind, "estimatedTotalHits" | "totalHits" | "totalPages") || kind.starts_with("facet")
    };
    let is_visited = has_threshold || (is_distinct && !has_pages);
    if !is_visited || !case.kinds.iter().all(|one| is_count(&one.kind)) {
        return Ok(false);
    }
    // One page with all hits makes the engine visit everything.
    let whole = question.without("offset").without("limit").with("page", json!(1));
    agrees(case, &whole.with("hitsPerPage", json!(WHOLE_PAGE)))
}

/// The answers must agree without marks, and with marks once no misspelling is suspected.
fn marked_misspelling(case: &Case<'_>) -> anyhow::Result<bool> {
    let (Some(text), Some(tokens)) = (text(case.question), case.both.tokens(case.question.index)) else {
        return Ok(false);
    };
    let mut bare = case.question.clone();
    for member in MARKS {
        bare = bare.without(member);
        bare.query.retain(|(name, _)| name != member);
    }
    let has_neighbours = |word: String| tokens.near(&word, 2, text.ends_with(&word)) > 1;
    if bare == *case.question
        || !case.kinds.iter().all(|one| one.kind.starts_with("hits") && one.kind != "hits.count")
        || !words_of(&text).any(has_neighbours)
        || !agrees(case, &bare)?
    {
        return Ok(false);
    }
    agrees(case, &with_text(case.question, quoted(&text, |_| true)))
}

/// Both must show the same counts in the same order, and the same values above the least count. Values that only the
/// cluster shows must have their true counts.
fn facet_tree(case: &Case<'_>) -> anyhow::Result<bool> {
    let is_facet = |one: &Difference| one.kind.starts_with("facetDistribution");
    let Some(index) = case.both.corpus.index(case.question.index).filter(|_| case.kinds.iter().all(is_facet))
    else {
        return Ok(false);
    };
    let orders = &index.settings["faceting"]["sortFacetValuesBy"];
    let (expected, found) = case.both.ask(case.question, case.uid)?;
    let facets = |answer: &Answer| answer.body["facetDistribution"].as_object().cloned().unwrap_or_default();
    let (expected, found) = (facets(&expected), facets(&found));
    if !expected.keys().eq(found.keys()) {
        return Ok(false);
    }
    for (name, values) in &expected {
        let order = if orders[name].is_null() { &orders["*"] } else { &orders[name] };
        let (values, others) = (values.as_object(), found[name].as_object());
        let (Some(values), Some(others)) = (values, others) else { return Ok(false) };
        if values.iter().eq(others) {
            continue;
        }
        let least = others.values().next_back();
        let missing = |(value, count): &(&String, &Value)| values.get(*value) != Some(count);
        if order != "count"
            || !values.values().eq(others.values())
            || others.iter().filter(missing).any(|(_, count)| Some(count) != least)
        {
            return Ok(false);
        }
        for (value, count) in others.iter().filter(missing) {
            let own = case.question.member("filter");
            let condition = json!(format!("{name} = {}", Value::from(value.as_str())));
            let filter = if own.is_null() { condition } else { json!([own, condition]) };
            let with_value = case.question.with("filter", filter).without("page").without("hitsPerPage");
            let (counted, _) = case.both.ask(&with_value, case.uid)?;
            if counted.body["estimatedTotalHits"] != *count {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// A node is down, only counts of fields and embeddings differ, and no field is in more documents than exist.
fn missing_node(case: &Case<'_>) -> anyhow::Result<bool> {
    if case.both.pair.killed == 0 || !case.question.path.ends_with("/stats") {
        return Ok(false);
    }
    let (mut expected, mut found) = case.both.ask(case.question, case.uid)?;
    let fields_are_possible = |index: &Value| {
        let fields = index["fieldDistribution"].as_object().into_iter().flatten();
        fields.map(|(_, count)| count.as_u64()).all(|count| count <= index["numberOfDocuments"].as_u64())
    };
    let of_all = found.body["indexes"].as_object().into_iter().flatten().map(|(_, index)| index);
    let possible = of_all.chain([&found.body]).all(fields_are_possible);
    for answer in [&mut expected, &mut found] {
        uncounted(&mut answer.body);
        let indexes = answer.body["indexes"].as_object_mut().into_iter().flatten();
        indexes.for_each(|(_, index)| uncounted(index));
    }
    Ok(possible && compare(&expected, &found).is_empty())
}

/// Removes the counts of nodes that no filter can verify.
fn uncounted(stats: &mut Value) {
    for name in ["fieldDistribution", "numberOfEmbeddings", "numberOfEmbeddedDocuments"] {
        stats[name] = Value::Null;
    }
}

/// Both must agree on the list from its start, and one node's page must not be the corresponding part of its own list.
fn skipped_documents(case: &Case<'_>) -> anyhow::Result<bool> {
    let question = case.question;
    let number = |name: &str, otherwise| question.member(name).as_u64().unwrap_or(otherwise);
    let (offset, limit) = (number("offset", 0), number("limit", 20));
    if !question.path.ends_with("/documents/fetch") || question.member("sort").is_null() || offset == 0 {
        return Ok(false);
    }
    let whole = question.with("offset", json!(0)).with("limit", json!(offset + limit));
    let (expected, found) = case.both.ask(&whole, case.uid)?;
    let (page, _) = case.both.ask(question, case.uid)?;
    let results = |answer: &Answer| answer.body["results"].as_array().cloned().unwrap_or_default();
    let after = results(&expected).into_iter().skip(usize::try_from(offset)?);
    let of_whole = Case { question: &whole, ..*case };
    let whole_agrees = compare(&expected, &found).is_empty() || crowded_place(&of_whole)?;
    Ok(whole_agrees && !after.eq(results(&page)))
}

/// At least about a thousand documents must be within a metre of one another, and both must agree on half of the
/// documents.
fn crowded_place(case: &Case<'_>) -> anyhow::Result<bool> {
    let Some(index) = case.both.corpus.index(case.question.index) else { return Ok(false) };
    if !case.question.member("sort").to_string().contains("_geoPoint(") {
        return Ok(false);
    }
    let mut places = BTreeMap::<(i64, i64), usize>::new();
    for document in &index.documents {
        let degrees = |name: &str| {
            let degrees = &document["_geo"][name];
            degrees.as_f64().or_else(|| degrees.as_str()?.trim().parse().ok())
        };
        if let (Some(lat), Some(lng)) = (degrees("lat"), degrees("lng")) {
            // A metre is about 1e-5 degrees.
            #[allow(clippy::cast_possible_truncation, reason = "degrees are small numbers")]
            let square = ((lat * 1e5).round() as i64, (lng * 1e5).round() as i64);
            *places.entry(square).or_default() += 1;
        }
    }
    if places.values().all(|documents| *documents < BUCKET_DOCUMENTS_MAX) {
        return Ok(false);
    }
    let half = json!(format!("{} < {}", index.primary_key, index.documents.len() / 2));
    let own = case.question.member("filter");
    let filter = if own.is_null() { half } else { json!([own, half]) };
    agrees(case, &case.question.with("filter", filter))
}

/// Some hit must have another proximity than when queried alone, none another number of words or typos, and the hits
/// with the right proximity must be in the same order.
fn remembered_proximity(case: &Case<'_>) -> anyhow::Result<bool> {
    let Some(index) = case.both.corpus.index(case.question.index) else { return Ok(false) };
    let by_attribute = index.settings["proximityPrecision"] == "byAttribute" && case.question.body.is_some();
    let is_of_hits = |one: &Difference| one.kind.starts_with("hits") && one.kind != "hits.count";
    let Some(detailed) =
        detailed(case.question).filter(|_| by_attribute && case.kinds.iter().all(is_of_hits))
    else {
        return Ok(false);
    };
    let key = index.primary_key;
    let detailed = detailed.with("attributesToRetrieve", json!([key]));
    let (expected, found) = case.both.ask(&detailed, case.uid)?;
    let alone =
        ["offset", "limit", "page", "hitsPerPage"].iter().fold(detailed, |one, name| one.without(name));
    let mut is_wrong = false;
    let mut right = [Vec::new(), Vec::new()];
    for (hits, right) in [expected.hits(), found.hits()].into_iter().zip(&mut right) {
        for hit in hits {
            let condition = json!(format!("{key} = {}", hit[key]));
            let own = alone.member("filter");
            let filter = if own.is_null() { condition } else { json!([own, condition]) };
            let (truth, _) = case.both.ask(&alone.with("filter", filter), case.uid)?;
            let rank =
                |hit: &Value, rule: &str, field: &str| hit["_rankingScoreDetails"][rule][field].clone();
            let [true_hit] = truth.hits() else { return Ok(false) };
            let same = |rule, field| rank(hit, rule, field) == rank(true_hit, rule, field);
            if !same("words", "matchingWords") || !same("typo", "typoCount") {
                return Ok(false);
            }
            match same("proximity", "score") {
                true => right.push(hit[key].clone()),
                false => is_wrong = true,
            }
        }
    }
    let [expected, found] = right;
    let common = |list: &[Value], other: &[Value]| {
        list.iter().filter(|key| other.contains(key)).cloned().collect::<Vec<_>>()
    };
    Ok(is_wrong && common(&expected, &found) == common(&found, &expected))
}

/// With a radius of one metre instead, both must agree. With zero metres, both must find all documents at the point,
/// and none that is farther than one metre.
fn zero_radius(case: &Case<'_>) -> anyhow::Result<bool> {
    let filter = case.question.member("filter").to_string();
    let (widened, points) = widened(&filter);
    let Some(index) = case.both.corpus.index(case.question.index).filter(|_| !points.is_empty()) else {
        return Ok(false);
    };
    for (latitude, longitude) in points {
        let filter = json!(format!("_geoRadius({latitude}, {longitude}, 0)"));
        let all = Question::search(case.question.index, json!({"filter": filter, "limit": 0}));
        let (expected, found) = case.both.ask(&all, case.uid)?;
        let within = |metres: f64| {
            let is_within = |one: &&Value| metres_between(&one["_geo"], (latitude, longitude)) <= metres;
            index.documents.iter().filter(is_within).count() as u64
        };
        let possible = within(0.0)..=within(1.0);
        let totals = [expected, found].map(|answer| answer.body["estimatedTotalHits"].as_u64());
        if !totals.iter().flatten().all(|total| possible.contains(total)) {
            return Ok(false);
        }
    }
    agrees(case, &case.question.with("filter", serde_json::from_str(&widened)?))
}

/// The filter with every `_geoRadius` of zero metres changed to one metre, and the points of these.
fn widened(filter: &str) -> (String, Vec<(f64, f64)>) {
    let mut parts = filter.split("_geoRadius(");
    let (mut out, mut points) = (parts.next().unwrap_or_default().to_owned(), Vec::new());
    for part in parts {
        let (arguments, rest) = part.split_once(')').unwrap_or((part, ""));
        let numbers = arguments.split(',').filter_map(|number| number.trim().parse::<f64>().ok());
        match *numbers.collect::<Vec<_>>() {
            [latitude, longitude, 0.0] => {
                points.push((latitude, longitude));
                out.push_str(&format!("_geoRadius({latitude}, {longitude}, 1){rest}"));
            }
            _ => out.push_str(&format!("_geoRadius({arguments}){rest}")),
        }
    }
    (out, points)
}

/// The distance in metres from a place to a point near it; infinite for a value that is no place.
fn metres_between(place: &Value, (latitude, longitude): (f64, f64)) -> f64 {
    const METRES_PER_DEGREE: f64 = 111_194.9;
    let degrees = |name: &str| place[name].as_f64().or_else(|| place[name].as_str()?.trim().parse().ok());
    let (Some(lat), Some(lng)) = (degrees("lat"), degrees("lng")) else { return f64::INFINITY };
    let (north, east) = (lat - latitude, (lng - longitude) * latitude.to_radians().cos());
    north.hypot(east) * METRES_PER_DEGREE
}

/// The cluster's hits must be at least as near, position by position, and some nearer.
fn nearer_neighbours(case: &Case<'_>) -> anyhow::Result<bool> {
    let question = case.question;
    let is_similar = question.path.ends_with("/similar");
    if question.member("vector").is_null() && !is_similar
        || !case.kinds.iter().all(|one| one.kind.starts_with("hits") || one.kind == "estimatedTotalHits")
    {
        return Ok(false);
    }
    let mut nearest = question.with("showRankingScore", json!(true));
    if let Some(ratio) = question.member("hybrid")["semanticRatio"].as_f64()
        && ratio < 1.0
    {
        if !agrees(case, &question.without("hybrid").without("vector"))? {
            return Ok(false);
        }
        nearest = nearest
            .with("hybrid", json!({"embedder": question.member("hybrid")["embedder"], "semanticRatio": 1.0}));
    }
    let Some(index) = case.both.corpus.index(question.index) else { return Ok(false) };
    let nearest = nearest.with("attributesToRetrieve", json!([index.primary_key]));
    let (expected, found) = case.both.ask(&nearest, case.uid)?;
    Ok(is_nearer(&expected, &found) && tells_the_truth(question, index, &found))
}

/// Whether the shown similarities are those of the documents' vectors.
fn tells_the_truth(question: &Question, index: &Index, found: &Answer) -> bool {
    let document = |key: &Value| index.documents.iter().find(|document| document[index.primary_key] == *key);
    let vector = question.member("vector");
    let asked = match vector.is_null() {
        true => document(question.member("id")).map(vectors_of).unwrap_or_default(),
        false => vectors_of(&json!({"_vectors": {"own": vector}})),
    };
    found.hits().iter().all(|hit| {
        let own = document(&hit[index.primary_key]).map(vectors_of).unwrap_or_default();
        let pairs = own.iter().flat_map(|own| asked.iter().map(|asked| similarity(own, asked)));
        let best = pairs.fold(0.0, f64::max);
        (best - hit["_rankingScore"].as_f64().unwrap_or_default()).abs() < TRUTH_TOLERANCE
    })
}

/// The vectors of a document, which has one or several.
fn vectors_of(document: &Value) -> Vec<Vec<f64>> {
    let numbers = |value: &Value| value.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    let own = &document["_vectors"]["own"];
    match numbers(own) {
        Some(vector) => vec![vector],
        None => own.as_array().into_iter().flatten().filter_map(numbers).collect(),
    }
}

/// The similarity: 0 for opposite directions, 1 for the same.
fn similarity(one: &[f64], other: &[f64]) -> f64 {
    let product = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
    let lengths = (product(one, one) * product(other, other)).sqrt();
    if lengths == 0.0 { 0.0 } else { (1.0 + product(one, other) / lengths) / 2.0 }
}

fn is_nearer(expected: &Answer, found: &Answer) -> bool {
    let scores = |answer: &Answer| {
        let scores = answer.hits().iter().map(|hit| hit["_rankingScore"].as_f64().unwrap_or_default());
        scores.collect::<Vec<_>>()
    };
    let (expected, found) = (scores(expected), scores(found));
    let pairs = || expected.iter().zip(&found);
    found.len() >= expected.len()
        && pairs().all(|(one, other)| other + SIMILARITY_TOLERANCE >= *one)
        && (found.len() > expected.len() || pairs().any(|(one, other)| *other > one + SIMILARITY_TOLERANCE))
}

fn prefix_database(case: &Case<'_>) -> anyhow::Result<bool> {
    let (Some(text), Some(tokens)) = (text(case.question), case.both.tokens(case.question.index)) else {
        return Ok(false);
    };
    let Some(last) = words_of(&text).last().filter(|_| text.ends_with(char::is_alphanumeric)) else {
        return Ok(false);
    };
    if last.chars().count() > PREFIX_LETTERS_MAX || tokens.begun_by(&last) < PREFIX_WORDS_MIN {
        return Ok(false);
    }
    agrees(case, &with_text(case.question, format!("{text} ")))
}

fn split_word(case: &Case<'_>) -> anyhow::Result<bool> {
    let (Some(text), Some(tokens)) = (text(case.question), case.both.tokens(case.question.index)) else {
        return Ok(false);
    };
    if !words_of(&text).any(|word| tokens.splits(&word)) {
        return Ok(false);
    }
    agrees(case, &with_text(case.question, quoted(&text, |word| tokens.splits(word))))
}

fn derivation_cap(case: &Case<'_>) -> anyhow::Result<bool> {
    let (Some(text), Some(tokens)) = (text(case.question), case.both.tokens(case.question.index)) else {
        return Ok(false);
    };
    let last = words_of(&text).last().filter(|_| text.ends_with(char::is_alphanumeric));
    let is_capped = |word: &str| {
        let is_prefix = last.as_deref() == Some(word);
        (is_prefix && tokens.begun_by(word) > BEGUN_MAX)
            || tokens.near(word, 1, is_prefix) > ONE_TYPO_MAX
            || tokens.near(word, 2, is_prefix) > TWO_TYPOS_MAX
    };
    if !words_of(&text).any(|word| is_capped(&word)) {
        return Ok(false);
    }
    agrees(case, &with_text(case.question, quoted(&text, is_capped)))
}

/// Quotes the suspected words: a phrase of one word matches only that word.
fn quoted(text: &str, is_suspected: impl Fn(&str) -> bool) -> String {
    if text.contains('"') {
        return text.to_owned();
    }
    let word = |word: &str| match words_of(word).any(|word| is_suspected(&word)) {
        true => format!("\"{word}\""),
        false => word.to_owned(),
    };
    text.split(' ').filter(|part| !part.is_empty()).map(word).collect::<Vec<_>>().join(" ")
}

/// The query's words, whether in the body or the query string.
fn text(question: &Question) -> Option<String> {
    let of_query = question.query.iter().find(|(name, _)| name == "q").map(|(_, text)| text.clone());
    question.member("q").as_str().map(str::to_owned).or(of_query)
}

fn with_text(question: &Question, text: String) -> Question {
    let mut other = question.clone();
    for (_, value) in other.query.iter_mut().filter(|(name, _)| name == "q") {
        value.clone_from(&text);
    }
    if other.body.is_some() { other.with("q", json!(text)) } else { other }
}

/// The search with ranking details; `None` if it is not a search.
fn detailed(question: &Question) -> Option<Question> {
    if !question.path.ends_with("/search") {
        return None;
    }
    if question.body.is_some() {
        return Some(question.with("showRankingScoreDetails", json!(true)));
    }
    let mut other = question.clone();
    other.query.retain(|(name, _)| name != "showRankingScoreDetails");
    other.query.push(("showRankingScoreDetails".to_owned(), "true".to_owned()));
    Some(other)
}

fn shown(question: &Question) -> Shown {
    let asks = |name: &str| {
        *question.member(name) == Value::Bool(true)
            || question.query.iter().any(|(other, value)| other == name && value == "true")
    };
    Shown { score: asks("showRankingScore"), details: asks("showRankingScoreDetails") }
}

/// Whether documents equal to the first hit may be on an earlier page.
fn is_later(question: &Question) -> bool {
    ["offset", "page"]
        .iter()
        .any(|name| !question.member(name).is_null() || question.query.iter().any(|(other, _)| other == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspected_words_are_quoted() {
        assert_eq!(quoted("one  two three", |word| word == "two"), "one \"two\" three");
        assert_eq!(quoted("\"one two\"", |_| true), "\"one two\"");
    }

    #[test]
    fn similarities_are_those_of_vectors() {
        assert_eq!(similarity(&[1.0, 0.0], &[2.0, 0.0]), 1.0);
        assert_eq!(similarity(&[1.0, 0.0], &[0.0, 3.0]), 0.5);
        assert_eq!(vectors_of(&json!({"_vectors": {"own": [1.0, 2.0]}})), [[1.0, 2.0]]);
        assert_eq!(vectors_of(&json!({"_vectors": {"own": [[1.0], [2.0]]}})), [[1.0], [2.0]]);
        assert_eq!(vectors_of(&json!({"_vectors": {"own": null}})), [[0.0; 0]; 0]);
    }

    #[test]
    fn nearer_means_nowhere_farther() {
        let answer = |scores: &[f64]| {
            let hits = scores.iter().map(|score| json!({"_rankingScore": score})).collect::<Vec<_>>();
            Answer { status: 200, body: json!({"hits": hits}) }
        };
        let check = |expected: &[f64], found: &[f64], outcome| {
            assert_eq!(is_nearer(&answer(expected), &answer(found)), outcome, "{expected:?} {found:?}");
        };
        check(&[0.9, 0.5], &[0.9, 0.6], true);
        check(&[0.9, 0.5], &[0.9, 0.5], false);
        check(&[0.9, 0.5], &[0.8, 0.6], false);
        check(&[0.9, 0.5], &[0.9], false);
        check(&[0.9], &[0.9, 0.1], true);
    }

    #[test]
    fn radii_of_no_metres_are_widened() {
        let (filter, points) = widened(r#"["_geoRadius(1, 2,0) OR _geoRadius(3,4,0.5)"]"#);
        assert_eq!(filter, r#"["_geoRadius(1, 2, 1) OR _geoRadius(3,4,0.5)"]"#);
        assert_eq!(points, [(1.0, 2.0)]);
        assert_eq!(metres_between(&json!({"lat": "1", "lng": 2}), (1.0, 2.0)), 0.0);
        assert!(metres_between(&json!({"lat": 1.000_000_1, "lng": 2}), (1.0, 2.0)) > 0.01);
        assert_eq!(metres_between(&Value::Null, (1.0, 2.0)), f64::INFINITY);
    }
}
