//! Canaries: searches that are run on a schedule, with assertions about what they find.
//!
//! Invariants: no IO. A stored canary can always be run. A canary keeps a bounded number of runs, and a run that
//! failed keeps what was seen.

mod judge;
mod parse;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Table;
use time::OffsetDateTime;

pub use judge::{Failure, Run, Runs, Seen, seen_in};
pub use parse::{CaptureRequest, parse_capture, parse_new};

use crate::api::tasks::view::date;

/// The table of canaries, by name.
pub const CANARIES: Table = Table::named("canaries");
/// The runs of each canary, by its name; there as long as the canary is.
pub const CANARY_RUNS: Table = Table::named("canary_runs");

/// A search that is run on a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// Unique; has the form of an index's uid.
    pub name: String,
    /// The index, or an alias.
    pub index: String,
    /// Seconds between the beginnings of two runs.
    pub interval_seconds: u32,
    /// The body of the search: a JSON object.
    pub query: Value,
    /// At least one.
    pub assertions: Vec<Assertion>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// What a run must find. Ids are JSON strings or whole numbers, equal when their texts are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Assertion {
    /// The first hit has this id.
    TopHitId { value: Value },
    /// The first `k` hits have all of these ids among them.
    TopKContains { k: usize, ids: Vec<Value> },
    /// At least as many documents are found.
    MinHits { value: u64 },
    /// The 95th percentile of the kept runs, this one included, is not over this.
    MaxP95Ms { value: f64 },
    /// The index's settings have this version or a later one.
    SettingsVersionAtLeast { value: u64 },
    /// No hit of the page has one of these ids.
    MustNotContainId { ids: Vec<Value> },
}

impl Canary {
    /// The canary as the management API shows it.
    #[must_use]
    pub fn view(&self) -> Value {
        json!({
            "name": self.name,
            "index": self.index,
            "intervalSeconds": self.interval_seconds,
            "query": self.query,
            "assertions": self.assertions,
            "createdAt": date(self.created_at),
        })
    }

    /// The body of the search that a run sends: the query, with nothing but the primary key retrieved.
    #[must_use]
    pub fn search_body(&self, primary_key: Option<&str>) -> Vec<u8> {
        let mut body = self.query.clone();
        if let Some(primary_key) = primary_key {
            body["attributesToRetrieve"] = json!([primary_key]);
        }
        body.to_string().into_bytes()
    }

    /// A canary of a search that a client made: it expects what that search found.
    #[must_use]
    pub fn captured(name: String, index: &str, query: Value, seen: &Seen, now: OffsetDateTime) -> Self {
        const FIRST: usize = 5;
        let ids = seen.ids.iter().filter(|id| !id.is_null()).cloned().collect::<Vec<_>>();
        let mut assertions = vec![Assertion::MinHits { value: seen.total }];
        if let Some(first) = ids.first().filter(|_| ids.len() == seen.ids.len()) {
            let top = ids.iter().take(FIRST).cloned().collect::<Vec<_>>();
            assertions.push(Assertion::TopHitId { value: first.clone() });
            assertions.push(Assertion::TopKContains { k: top.len(), ids: top });
        }
        let interval_seconds = parse::INTERVAL_SECONDS_DEFAULT;
        Self { name, index: index.to_owned(), interval_seconds, query, assertions, created_at: now }
    }
}
