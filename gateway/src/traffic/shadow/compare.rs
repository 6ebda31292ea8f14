//! Compares two answers to one search: hits, order, totals.
//!
//! Invariants: pure. What is reported of a difference is bounded. Hits are told apart by primary key; hits that do
//! not show it, by their whole content.

use ahash::{AHashMap, AHashSet};
use serde_json::{Value, json};

use crate::config::limits;

/// An answer as far as it is compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Found {
    /// What tells the hits apart, in their order.
    pub(super) ids: Vec<String>,
    pub(super) total: Option<u64>,
}

/// The outcome of a comparison.
#[derive(Debug, PartialEq)]
pub(super) struct Comparison {
    /// Whether both have the same hits and the same total.
    pub(super) same_hits: bool,
    /// Kendall's tau of the hits that both have: 1 for the same order, -1 for the reverse; `None` for fewer than two.
    pub(super) tau: Option<f64>,
}

impl Found {
    /// Reads an answer; `None` when it is not the answer to a search.
    pub(super) fn read(answer: &Value, primary_key: Option<&str>) -> Option<Self> {
        let hits = answer["hits"].as_array()?;
        let ids = hits.iter().take(limits::SHADOW_HITS_MAX).map(|hit| identity(hit, primary_key)).collect();
        let total = answer["totalHits"].as_u64().or_else(|| answer["estimatedTotalHits"].as_u64());
        Some(Self { ids, total })
    }

    /// What a difference shows of it.
    pub(super) fn view(&self) -> Value {
        let cut = |id: &'_ String| id[..id.floor_char_boundary(limits::SHADOW_DIFF_ID_BYTES_MAX)].to_owned();
        let ids = self.ids.iter().take(limits::SHADOW_DIFF_IDS_MAX).map(cut).collect::<Vec<_>>();
        json!({"ids": ids, "total": self.total})
    }

    pub(super) fn compare(&self, other: &Self) -> Comparison {
        let (one, two) = (set(&self.ids), set(&other.ids));
        Comparison { same_hits: one == two && self.total == other.total, tau: tau(&self.ids, &other.ids) }
    }
}

fn identity(hit: &Value, primary_key: Option<&str>) -> String {
    let id = primary_key.map_or(&Value::Null, |key| &hit[key]);
    if let Some(text) = id.as_str() {
        return text.to_owned();
    }
    if id.is_number() {
        return id.to_string();
    }
    let mut shown = hit.clone();
    if let Some(members) = shown.as_object_mut() {
        // Scores differ in their last digits between versions.
        members.retain(|name, _| !name.starts_with("_rankingScore"));
    }
    format!("#{:016x}", xxhash_rust::xxh3::xxh3_64(shown.to_string().as_bytes()))
}

fn set(ids: &[String]) -> AHashSet<&str> {
    ids.iter().map(String::as_str).collect()
}

/// Kendall's tau over the hits that both lists have.
fn tau(one: &[String], two: &[String]) -> Option<f64> {
    let places = two.iter().enumerate().map(|(place, id)| (id.as_str(), place)).collect::<AHashMap<_, _>>();
    let ranks = one.iter().filter_map(|id| places.get(id.as_str()).copied()).collect::<Vec<_>>();
    if ranks.len() < 2 {
        return None;
    }
    let (mut alike, mut pairs) = (0_i32, 0_i32);
    for (at, rank) in ranks.iter().enumerate() {
        for later in &ranks[at + 1..] {
            pairs += 1;
            alike += if rank < later { 1 } else { -1 };
        }
    }
    Some(f64::from(alike) / f64::from(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ids: &[&str], total: u64) -> Found {
        Found { ids: ids.iter().map(|id| (*id).to_owned()).collect(), total: Some(total) }
    }

    #[test]
    fn hits_order_and_totals_are_compared() {
        let check = |one: &Found, two: &Found, same_hits: bool, tau: Option<f64>| {
            assert_eq!(one.compare(two), Comparison { same_hits, tau }, "{one:?} {two:?}");
        };
        let abc = found(&["a", "b", "c"], 3);
        check(&abc, &abc, true, Some(1.0));
        check(&abc, &found(&["c", "b", "a"], 3), true, Some(-1.0));
        check(&abc, &found(&["b", "a", "c"], 3), true, Some(1.0 / 3.0));
        check(&abc, &found(&["a", "b", "c"], 4), false, Some(1.0));
        check(&abc, &found(&["b", "d", "a"], 3), false, Some(-1.0));
        check(&abc, &found(&["d"], 1), false, None);
        check(&found(&[], 0), &found(&[], 0), true, None);
    }

    #[test]
    fn answers_are_read_by_key_or_by_content() {
        let read = |answer: Value| Found::read(&answer, Some("id"));
        assert_eq!(read(json!({"message": "no"})), None);
        assert_eq!(read(json!([])), None);
        assert_eq!(read(json!({"hits": 7})), None);
        let answer = json!({"hits": [{"id": 1}, {"id": "x"}], "totalHits": 9});
        assert_eq!(read(answer), Some(found(&["1", "x"], 9)));
        let hit = |score: f64, title: &str| {
            read(json!({"hits": [{"title": title, "_rankingScore": score}]})).unwrap().ids
        };
        assert_eq!(hit(0.5, "a"), hit(0.7, "a"));
        assert_ne!(hit(0.5, "a"), hit(0.5, "b"));
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let many = Found { ids: vec!["é".repeat(5000); 500], total: None };
        assert!(
            many.view().to_string().len()
                < 2 * limits::SHADOW_DIFF_IDS_MAX * limits::SHADOW_DIFF_ID_BYTES_MAX
        );
    }
}
