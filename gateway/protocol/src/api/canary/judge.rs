//! What a run of a canary has seen, and whether that is what was expected.
//!
//! Invariants: pure. What a failure keeps of what was seen is bounded.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    api::{canary::Assertion, tasks::view::date},
    limits::{CANARY_IDS_SEEN_MAX, CANARY_RUNS_MAX},
};

/// What one run has seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// The primary keys of the hits in their order; null where a hit does not show it.
    pub ids: Vec<Value>,
    /// How many documents were found, as the answer says.
    pub total: u64,
    pub settings_version: u64,
}

/// One assertion that did not hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    #[serde(rename = "type")]
    pub kind: String,
    pub expected: Value,
    pub observed: Value,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub passed: bool,
    pub milliseconds: f64,
    pub failures: Vec<Failure>,
}

/// The runs that a canary keeps, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    pub runs: Vec<Run>,
}

/// Reads what a search's answer shows; the primary key names the hits.
#[must_use]
pub fn seen_in(answer: &Value, primary_key: Option<&str>, settings_version: u64) -> Seen {
    let hits = answer["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
    let id = |hit: &Value| primary_key.map_or(Value::Null, |key| hit[key].clone());
    let total = answer["totalHits"].as_u64().or_else(|| answer["estimatedTotalHits"].as_u64());
    Seen { ids: hits.iter().map(id).collect(), total: total.unwrap_or_default(), settings_version }
}

impl Runs {
    /// Adds a run that has seen this, or could not search for a reason; drops the oldest ones.
    pub fn add(
        &mut self,
        assertions: &[Assertion],
        at: OffsetDateTime,
        milliseconds: f64,
        outcome: Result<&Seen, &str>,
    ) -> &Run {
        let mut times = self.runs.iter().map(|run| run.milliseconds).collect::<Vec<_>>();
        times.push(milliseconds);
        let p95 = percentile_95(times);
        let failures = match outcome {
            Ok(seen) => assertions.iter().filter_map(|assertion| assertion.judge(seen, p95)).collect(),
            Err(reason) => vec![Failure {
                kind: "search".to_owned(),
                expected: json!("an answer"),
                observed: json!(reason),
            }],
        };
        let excess = (self.runs.len() + 1).saturating_sub(CANARY_RUNS_MAX);
        self.runs.drain(..excess);
        let run = Run { at, passed: failures.is_empty(), milliseconds, failures };
        self.runs.push(run);
        &self.runs[self.runs.len() - 1]
    }

    /// The runs as the management API shows them.
    #[must_use]
    pub fn view(&self) -> Vec<Value> {
        let run = |run: &Run| {
            json!({
                "at": date(run.at),
                "passed": run.passed,
                "milliseconds": run.milliseconds,
                "failures": run.failures,
            })
        };
        self.runs.iter().map(run).collect()
    }
}

impl Assertion {
    /// The name of its type.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TopHitId { .. } => "top_hit_id",
            Self::TopKContains { .. } => "top_k_contains",
            Self::MinHits { .. } => "min_hits",
            Self::MaxP95Ms { .. } => "max_p95_ms",
            Self::SettingsVersionAtLeast { .. } => "settings_version_at_least",
            Self::MustNotContainId { .. } => "must_not_contain_id",
        }
    }

    /// The failure, unless it holds. `p95` is in milliseconds.
    fn judge(&self, seen: &Seen, p95: f64) -> Option<Failure> {
        let first = |most: usize| seen.ids.iter().take(most.min(CANARY_IDS_SEEN_MAX)).collect::<Vec<_>>();
        let has = |among: &[Value], id: &Value| among.iter().any(|seen| same(seen, id));
        let (holds, expected, observed) = match self {
            Self::TopHitId { value } => {
                let top = seen.ids.first();
                (top.is_some_and(|top| same(top, value)), json!(value), json!(top))
            }
            Self::TopKContains { k, ids } => {
                let top = &seen.ids[..seen.ids.len().min(*k)];
                let missing = ids.iter().filter(|id| !has(top, id)).collect::<Vec<_>>();
                (
                    missing.is_empty(),
                    json!({"k": k, "ids": ids}),
                    json!({"missing": missing, "ids": first(*k)}),
                )
            }
            Self::MinHits { value } => (seen.total >= *value, json!(value), json!(seen.total)),
            Self::MaxP95Ms { value } => (p95 <= *value, json!(value), json!(p95)),
            Self::SettingsVersionAtLeast { value } => {
                (seen.settings_version >= *value, json!(value), json!(seen.settings_version))
            }
            Self::MustNotContainId { ids } => {
                let found = ids.iter().filter(|id| has(&seen.ids, id)).collect::<Vec<_>>();
                (found.is_empty(), json!(ids), json!({"found": found, "ids": first(usize::MAX)}))
            }
        };
        (!holds).then(|| Failure { kind: self.kind().to_owned(), expected, observed })
    }
}

/// Whether two ids name one document: a number and its text are the same key.
fn same(one: &Value, other: &Value) -> bool {
    let text = |id: &Value| match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    text(one).is_some_and(|one| text(other) == Some(one))
}

/// The 95th percentile by nearest rank; 0 of nothing.
fn percentile_95(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    let rank = (times.len() * 95).div_ceil(100);
    times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        let answer = json!({"hits": [{"id": 7}, {"id": "b"}, {"id": 9}], "estimatedTotalHits": 30});
        seen_in(&answer, Some("id"), 4)
    }

    fn judge(assertion: Value) -> Option<(Value, Value)> {
        let assertion: Assertion = serde_json::from_value(assertion).unwrap();
        let failure = assertion.judge(&seen(), 20.0);
        if let Some(failure) = &failure {
            assert_eq!(failure.kind, assertion.kind());
        }
        failure.map(|failure| (failure.expected, failure.observed))
    }

    #[test]
    fn every_type_holds_and_fails() {
        let holds = |assertion: Value| assert_eq!(judge(assertion.clone()), None, "{assertion}");
        let fails = |assertion: Value, expected: Value, observed: Value| {
            assert_eq!(judge(assertion.clone()), Some((expected, observed)), "{assertion}");
        };
        holds(json!({"type": "top_hit_id", "value": 7}));
        holds(json!({"type": "top_hit_id", "value": "7"}));
        fails(json!({"type": "top_hit_id", "value": "b"}), json!("b"), json!(7));
        holds(json!({"type": "top_k_contains", "k": 2, "ids": ["b", 7]}));
        fails(
            json!({"type": "top_k_contains", "k": 2, "ids": [9, 7]}),
            json!({"k": 2, "ids": [9, 7]}),
            json!({"missing": [9], "ids": [7, "b"]}),
        );
        holds(json!({"type": "min_hits", "value": 30}));
        fails(json!({"type": "min_hits", "value": 31}), json!(31), json!(30));
        holds(json!({"type": "max_p95_ms", "value": 20.0}));
        fails(json!({"type": "max_p95_ms", "value": 19.5}), json!(19.5), json!(20.0));
        holds(json!({"type": "settings_version_at_least", "value": 4}));
        fails(json!({"type": "settings_version_at_least", "value": 5}), json!(5), json!(4));
        holds(json!({"type": "must_not_contain_id", "ids": ["c", 8]}));
        fails(
            json!({"type": "must_not_contain_id", "ids": ["c", "9"]}),
            json!(["c", "9"]),
            json!({"found": ["9"], "ids": [7, "b", 9]}),
        );
    }

    #[test]
    fn runs_are_bounded_and_keep_why_they_failed() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let assertions = [Assertion::MaxP95Ms { value: 50.0 }];
        let mut runs = Runs::default();
        for number in 0..CANARY_RUNS_MAX {
            runs.add(&assertions, at, f64::from(u32::try_from(number).unwrap()) / 2.0, Ok(&seen()));
        }
        assert!(runs.runs.iter().all(|run| run.passed));
        // Five slow runs of a hundred stay under the percentile; the sixth does not.
        for _ in 0..5 {
            runs.add(&assertions, at, 500.0, Ok(&seen()));
        }
        assert!(runs.runs[CANARY_RUNS_MAX - 1].passed);
        assert!(!runs.add(&assertions, at, 500.0, Ok(&seen())).passed);
        assert_eq!(runs.runs.len(), CANARY_RUNS_MAX);
        let failed = runs.add(&assertions, at, 1.0, Err("Index `films` not found.")).clone();
        assert_eq!(failed.failures[0].observed, json!("Index `films` not found."));
        assert_eq!(runs.view().last().unwrap()["failures"][0]["type"], "search");
        let stored = serde_json::to_value(&runs).unwrap();
        assert_eq!(serde_json::from_value::<Runs>(stored).unwrap(), runs);
    }

    #[test]
    fn a_percentile_is_that_of_the_nearest_rank() {
        assert_eq!(percentile_95(Vec::new()), 0.0);
        assert_eq!(percentile_95(vec![3.0]), 3.0);
        assert_eq!(percentile_95((1..=20).map(f64::from).collect()), 19.0);
        assert_eq!(percentile_95((1..=100).map(f64::from).collect()), 95.0);
    }
}
