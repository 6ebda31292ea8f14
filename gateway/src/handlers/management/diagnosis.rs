//! `GET /_miroir/diagnosis`: what an operator asks of a cluster that is not well, gathered at one place.
//!
//! Invariants: it changes nothing and is bounded in time. What has to be read from files is read on a thread of its
//! own. It says what was measured; what follows from it is said by `miroir-ctl doctor`.

use std::time::Instant;

use futures_util::future::join_all;
use http::StatusCode;
use router::NodeIndex;
use serde_json::{Value, json};
use time::{OffsetDateTime, PrimitiveDateTime, macros::format_description};

use crate::{
    api::error::ApiError,
    clock::{self, CLOCK, CLOCK_KEY},
    config::{Config, StoreConfig, limits},
    handlers::management::writes,
    nodes::pool::NodeRequest,
    observe::process_limits,
    repair::settings_drift,
    state::core::Core,
    wire::{h1::Response, runtime},
};

/// A record that is never there: the store commits that it is forgotten, which shows how long a commit takes.
const PROBE_KEY: &str = "diagnosis";

/// Gathers everything.
pub(crate) async fn diagnosis(core: &Core) -> Result<Response, ApiError> {
    let nodes = core.shared.snapshot().topology.every_node();
    let nodes = join_all(nodes.into_iter().map(|node| of_node(core, node))).await;
    let store = of_store(core).await;
    let stuck = match writes::stuck(core).await {
        Ok(stuck) => stuck.iter().map(|task| writes::shown(core, task)).collect(),
        // The store's own part says that it does not answer.
        Err(_) => Value::Null,
    };
    let directory = sled_directory(&core.shared.config);
    let answer = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "time": date(clock::utc()),
        "coordinator": core.shared.coordinator.view(),
        "nodes": nodes,
        "store": store,
        "tasks": {"unfinished": writes::pending(core).await.ok(), "stuck": stuck},
        "settings": of_settings(core).await,
        "process": process_limits::read(directory).await,
        "limits": of_limits(core),
    });
    Ok(Response::json(StatusCode::OK, answer.to_string()))
}

/// Where the store keeps its files, if it does so on this machine.
fn sled_directory(config: &Config) -> Option<std::path::PathBuf> {
    match &config.store {
        StoreConfig::Sled { path } => Some(path.clone()),
        StoreConfig::Redis { .. } => None,
    }
}

/// How a node answers: in time, with which key, which version, and what time it takes it to be.
async fn of_node(core: &Core, node: NodeIndex) -> Value {
    let (shared, limit) = (&core.shared, limits::DIAGNOSIS_QUESTION_TIMEOUT);
    let id = &shared.nodes.addresses[usize::from(node.0)].id;
    let mut milliseconds = Vec::new();
    let mut error = None;
    for _ in 0..limits::DIAGNOSIS_QUESTIONS {
        let begun = runtime::now();
        match core.pools.exchange(node, NodeRequest::get("/health"), limit).await {
            Ok(answer) if answer.status == StatusCode::OK => milliseconds.push(since(begun)),
            Ok(answer) => error = Some(format!("it answers with status {}", answer.status.as_u16())),
            Err(failure) => error = Some(failure.to_string()),
        }
        if error.is_some() {
            break;
        }
    }
    milliseconds.sort_unstable_by(f64::total_cmp);
    let (mut version, mut is_key_refused) = (Value::Null, None);
    if error.is_none()
        && let Ok(answer) = core.pools.exchange(node, NodeRequest::get("/version"), limit).await
    {
        let refusals = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        is_key_refused = Some(refusals.contains(&answer.status));
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        version = value["pkgVersion"].clone();
    }
    let skew = match error {
        None => core.pools.date_of(node, limit).await.and_then(|date| skew_seconds(&date)),
        Some(_) => None,
    };
    let hints = &shared.nodes.hints;
    json!({
        "id": id,
        "state": shared.nodes.health.state(node).as_str(),
        "version": version,
        "keyRefused": is_key_refused,
        "milliseconds": milliseconds.get(milliseconds.len() / 2),
        "error": error,
        "clockSkewSeconds": skew,
        "hints": {
            "count": hints.pending(node),
            "bytes": hints.pending_bytes(node),
            "bytesMax": shared.config.hint_bytes_max,
            "copyNeeded": hints.needs_full_resync(node),
        },
    })
}

/// How far a node's clock is ahead of this one's, to the second; `None` for a date that cannot be read.
fn skew_seconds(date: &str) -> Option<i64> {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let theirs = PrimitiveDateTime::parse(date, form).ok()?.assume_utc();
    Some((theirs - clock::utc()).whole_seconds())
}

/// How long the store takes to read and to make a record durable.
async fn of_store(core: &Core) -> Value {
    let store = &core.shared.store;
    let begun = runtime::now();
    if let Err(error) = store.record(CLOCK, CLOCK_KEY).await {
        return json!({"reached": false, "error": error.to_string()});
    }
    let read = since(begun);
    let begun = runtime::now();
    let forget = store::Change::ForgetRecord { table: CLOCK, key: PROBE_KEY.to_owned() };
    match store.commit(vec![forget]).await {
        Ok(_) => json!({"reached": true, "readMilliseconds": read, "writeMilliseconds": since(begun)}),
        Err(error) => json!({"reached": false, "readMilliseconds": read, "error": error.to_string()}),
    }
}

/// Indexes whose settings are on their way, differ between nodes, or take no writes for it.
async fn of_settings(core: &Core) -> Value {
    let snapshot = core.shared.snapshot();
    let indexes = snapshot.in_order();
    let uid = |index: &std::sync::Arc<crate::state::snapshot::Index>| index.record.uid.clone();
    let frozen = indexes.iter().filter(|index| core.shared.write_blocks.contains(&index.record.node_uid));
    let frozen = frozen.map(|index| uid(index)).collect::<Vec<_>>();
    let pending = indexes.iter().filter(|index| index.record.settings_pending);
    let pending = pending.map(|index| uid(index)).collect::<Vec<_>>();
    let settled = indexes.iter().filter(|index| !index.record.settings_pending);
    let mut drifted = Vec::new();
    for index in settled.take(limits::DIAGNOSIS_INDEXES_MAX) {
        // A node that cannot be asked is named among the nodes.
        if let Ok(nodes) = settings_drift::drifted(core, index).await
            && !nodes.is_empty()
        {
            drifted.push(json!({"index": index.record.uid, "nodes": nodes}));
        }
    }
    json!({
        "pending": pending,
        "frozen": frozen,
        "drifted": drifted,
        "indexesCompared": indexes.len().min(limits::DIAGNOSIS_INDEXES_MAX),
        "indexes": indexes.len(),
    })
}

/// How near the process is to its own limits.
fn of_limits(core: &Core) -> Value {
    let shared = &core.shared;
    let in_flight =
        shared.in_flight.iter().map(|count| count.load(std::sync::atomic::Ordering::Relaxed)).sum::<usize>();
    let edge = core.edge();
    json!({
        "requestsInFlight": in_flight,
        "requestsInFlightMax": edge.in_flight_max.saturating_mul(shared.config.cores),
        "connectionsMax": edge.connections_max.saturating_mul(shared.config.cores),
    })
}

fn since(begun: Instant) -> f64 {
    let took = runtime::now().saturating_duration_since(begun);
    (took.as_secs_f64() * 100_000.0).round() / 100.0
}

fn date(at: OffsetDateTime) -> String {
    at.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_by_the_dates_of_answers() {
        let form = format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        );
        let at = |ahead: i64| (clock::utc() + time::Duration::seconds(ahead)).format(form).unwrap();
        let near = |found: Option<i64>, wanted: i64| {
            assert!(found.is_some_and(|found| (found - wanted).abs() <= 5), "{found:?} is not {wanted}");
        };
        near(skew_seconds(&at(0)), 0);
        near(skew_seconds(&at(3600)), 3600);
        near(skew_seconds(&at(-3600)), -3600);
        assert_eq!(skew_seconds("yesterday"), None);
    }
}
