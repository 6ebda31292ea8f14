//! The threads of one shadow: each takes a search from the queue, sends it, and records how the answers differ.
//!
//! Invariants: a thread lives as long as the process, whatever a shadow answers. Only addresses that the operator
//! allows are reached, whatever a name resolves to by then.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    api::search::filter::narrow,
    config::limits,
    observe::log,
    state::{
        heard::Heard,
        shadows::{Diff, DiffKind, Target},
        shared::Shared,
    },
    traffic::shadow::compare::Found,
    wire::outbound,
};

/// Starts the threads of all shadows; none without shadows.
pub(crate) fn start(shared: &Arc<Shared>) {
    for target in &shared.shadows.targets {
        let agent = outbound::agent(&shared.config.allowed_ip_networks, limits::SHADOW_TIMEOUT);
        for _ in 0..limits::SHADOW_THREADS {
            let (shared, own, agent) = (Arc::clone(shared), Arc::clone(target), agent.clone());
            let started = std::thread::Builder::new().name("shadow".to_owned()).spawn(move || {
                while let Some(heard) = own.take() {
                    let looking = AssertUnwindSafe(|| look(&shared, &own, &agent, &heard));
                    if catch_unwind(looking).is_err() {
                        log::error("panic_in_job", &[("job", "shadow")]);
                    }
                }
            });
            if let Err(error) = started {
                let fields = [("target", target.config.name.as_str()), ("reason", &error.to_string())];
                log::error("shadow_without_thread", &fields);
            }
        }
    }
}

/// Sends one search and records the differences.
fn look(shared: &Shared, target: &Target, agent: &ureq::Agent, heard: &Heard) {
    let name = || target.config.name.clone();
    let query = query(heard);
    let begun = Instant::now();
    let answer = ask(target, agent, &heard.index, &query);
    let took = begun.elapsed();
    metrics::counter!("miroir_shadow_sent_total", "target" => name()).increment(1);
    metrics::histogram!("miroir_shadow_latency_delta_seconds", "target" => name())
        .record(took.as_secs_f64() - heard.took.as_secs_f64());
    let record = |kind: DiffKind, primary: Value, shadow: Value| {
        metrics::counter!("miroir_shadow_diff_total", "target" => name(), "kind" => kind.as_str())
            .increment(1);
        let (index, query) = (heard.index.clone(), shown(&query));
        shared.shadows.diffs.add(Diff { id: 0, target: name(), kind, index, query, primary, shadow });
    };
    let found = answer.and_then(|answer| {
        let unreadable = || "its answer is not that of a search".to_owned();
        Found::read(&answer, heard.primary_key.as_deref()).ok_or_else(unreadable)
    });
    let shadow = match found {
        Ok(shadow) => shadow,
        Err(reason) => {
            metrics::counter!("miroir_shadow_errors_total", "target" => name()).increment(1);
            return record(DiffKind::Error, json!({"status": 200}), json!({"error": reason}));
        }
    };
    let primary = serde_json::from_slice::<Value>(&heard.answer).unwrap_or_default();
    let primary = Found::read(&primary, heard.primary_key.as_deref()).unwrap_or_default();
    let comparison = primary.compare(&shadow);
    if let Some(tau) = comparison.tau {
        metrics::histogram!("miroir_shadow_kendall_tau", "target" => name()).record(tau);
    }
    if !comparison.same_hits {
        record(DiffKind::Hits, primary.view(), shadow.view());
    }
    if let Some(tau) = comparison.tau.filter(|tau| *tau < 1.0) {
        let mut view = shadow.view();
        view["kendallTau"] = json!(tau);
        record(DiffKind::Ranking, primary.view(), view);
    }
    if is_late(heard.took, took) {
        let milliseconds = |took: Duration| json!({"milliseconds": took.as_secs_f64() * 1000.0});
        record(DiffKind::Latency, milliseconds(heard.took), milliseconds(took));
    }
}

/// Sends a search to a shadow.
///
/// # Errors
/// Why there is no answer to compare.
fn ask(target: &Target, agent: &ureq::Agent, index: &str, query: &Value) -> Result<Value, String> {
    let index = utf8_percent_encode(index, NON_ALPHANUMERIC);
    let mut request = agent
        .post(format!("{}/indexes/{index}/search", target.config.url))
        .header("content-type", "application/json")
        .header("accept-encoding", "identity");
    if let Some(key) = &target.config.key {
        request = request.header("authorization", format!("Bearer {}", key.expose()));
    }
    let mut response = request.send(query.to_string()).map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(limits::SHADOW_ANSWER_BYTES_MAX).read_to_vec();
    let body = body.map_err(|error| error.to_string())?;
    if status != 200 {
        return Err(format!("status {status}"));
    }
    serde_json::from_slice(&body).map_err(|error| format!("its answer is not JSON: {error}"))
}

/// The search as the client made it, with the filter of the client's token.
fn query(heard: &Heard) -> Value {
    let mut query = serde_json::from_slice::<Value>(&heard.body).unwrap_or_else(|_| json!({}));
    if let Some(rules) = &heard.rules {
        let own = (!query["filter"].is_null()).then(|| query["filter"].to_string());
        let both = narrow(own.as_deref(), rules.clone());
        query["filter"] = serde_json::from_str(&both).unwrap_or_default();
    }
    query
}

/// The query as a difference keeps it.
fn shown(query: &Value) -> Value {
    let text = query.to_string();
    match text.len() <= limits::SHADOW_DIFF_QUERY_BYTES_MAX {
        true => query.clone(),
        false => json!(text[..text.floor_char_boundary(limits::SHADOW_DIFF_QUERY_BYTES_MAX)]),
    }
}

fn is_late(primary: Duration, shadow: Duration) -> bool {
    shadow > primary * limits::SHADOW_LATE_FACTOR && shadow - primary >= limits::SHADOW_LATE_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(body: &str, rules: Option<&str>) -> Heard {
        Heard {
            index: "films".to_owned(),
            primary_key: None,
            body: body.to_owned().into(),
            rules: rules.map(str::to_owned),
            answer: "{}".into(),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn the_filter_of_a_token_goes_along() {
        assert_eq!(query(&heard(r#"{"q":"a"}"#, None)), json!({"q": "a"}));
        let narrowed = query(&heard(r#"{"q":"a"}"#, Some(r#""tenant = 1""#)));
        assert!(narrowed["filter"].to_string().contains("tenant = 1"), "{narrowed}");
        let narrowed = query(&heard(r#"{"filter":"b = 2"}"#, Some(r#""tenant = 1""#)));
        let filter = narrowed["filter"].to_string();
        assert!(filter.contains("tenant = 1") && filter.contains("b = 2"), "{narrowed}");
    }

    #[test]
    fn a_shadow_is_late_by_factor_and_by_time() {
        let check = |primary: u64, shadow: u64, expected: bool| {
            let [primary, shadow] = [primary, shadow].map(Duration::from_millis);
            assert_eq!(is_late(primary, shadow), expected, "{primary:?} {shadow:?}");
        };
        check(10, 40, false);
        check(10, 60, true);
        check(100, 190, false);
        check(100, 201, true);
        check(100, 5, false);
    }

    #[test]
    fn what_is_kept_of_a_query_is_bounded() {
        assert_eq!(shown(&json!({"q": "a"})), json!({"q": "a"}));
        let long = shown(&json!({"q": "é".repeat(5000)}));
        assert!(long.as_str().is_some_and(|text| text.len() <= limits::SHADOW_DIFF_QUERY_BYTES_MAX));
    }
}
