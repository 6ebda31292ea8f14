//! `GET /metrics`: the cluster in the metrics of one node, under Meilisearch's names.
//!
//! Invariants: sizes and counts are those of all nodes, each document once; requests are those of this pod. No name of
//! a node, nor of an index on the nodes, is shown. Source of the names: Meilisearch 1.15 to 1.50.

use std::{collections::BTreeMap, fmt::Write as _, sync::atomic::Ordering};

use http::StatusCode;
use serde_json::Value;
use store::{TaskKind, TaskQuery, TaskRecord, TaskStatus};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::error::ApiError,
    auth::{self, Permission},
    clock,
    handlers::{
        node::{METRICS, check_feature},
        stats,
    },
    state::core::Core,
    wire::h1::Response,
};

/// Parts of this gateway's path templates, and what Meilisearch calls them.
const PLACEHOLDERS: [(&str, &str); 6] = [
    ("/indexes/{uid}", "/indexes/{index_uid}"),
    ("/documents/{id}", "/documents/{document_id}"),
    ("/tasks/{uid}", "/tasks/{task_uid}"),
    ("/batches/{uid}", "/batches/{batch_uid}"),
    ("/keys/{uid_or_key}", "/keys/{key}"),
    ("/chats/{workspace}", "/chats/{workspace_uid}"),
];

/// Serves all metrics as text.
pub(super) async fn all(core: &Core, permission: &Permission) -> Result<Response, ApiError> {
    check_feature(core, &METRICS, "Getting metrics").await?;
    if !permission.allows_all_indexes() {
        return Err(auth::invalid_key());
    }
    let stats = stats::summed(core, permission, &stats::Sizes::plain()).await?.0;
    let mut text = String::new();
    of_stats(&mut text, &stats);
    of_tasks(core, &mut text).await?;
    of_load(core, &mut text);
    of_requests(&mut text, &core.shared.prometheus.render());
    let content_type = Some("text/plain; version=0.0.4");
    Ok(Response { content_type, ..Response::json(StatusCode::OK, text) })
}

/// Begins one metric.
fn begin(text: &mut String, name: &str, help: &str, kind: &str) {
    // Nothing fails to be written to a text, here and below.
    let _ = writeln!(text, "# HELP meilisearch_{name} {help}\n# TYPE meilisearch_{name} {kind}");
}

fn gauge(text: &mut String, name: &str, help: &str, value: impl std::fmt::Display) {
    begin(text, name, help, "gauge");
    let _ = writeln!(text, "meilisearch_{name} {value}");
}

fn of_stats(text: &mut String, stats: &Value) {
    let number = |name: &str| stats[name].as_u64().unwrap_or(0);
    gauge(text, "db_size_bytes", "Bytes of the databases of all nodes", number("databaseSize"));
    let used = stats["usedDatabaseSize"].as_u64().unwrap_or(number("databaseSize"));
    gauge(text, "used_db_size_bytes", "Bytes of them that are in use", used);
    let indexes = stats["indexes"].as_object();
    gauge(text, "index_count", "Indexes", indexes.map_or(0, serde_json::Map::len));
    begin(text, "index_docs_count", "Documents of an index", "gauge");
    for (uid, index) in indexes.into_iter().flatten() {
        let documents = index["numberOfDocuments"].as_u64().unwrap_or(0);
        let _ = writeln!(text, "meilisearch_index_docs_count{{index=\"{uid}\"}} {documents}");
    }
    let updated = stats["lastUpdate"].as_str().and_then(|date| OffsetDateTime::parse(date, &Rfc3339).ok());
    gauge(text, "last_update", "Time of the last update", updated.map_or(0, OffsetDateTime::unix_timestamp));
}

async fn of_tasks(core: &Core, text: &mut String) -> Result<(), ApiError> {
    let store = &core.shared.store;
    let none = TaskQuery { limit: 0, ..TaskQuery::default() };
    begin(text, "nb_tasks", "Tasks by status, type and index", "gauge");
    let mut put = |kind: &str, value: &str, count: u64| {
        let _ = writeln!(text, "meilisearch_nb_tasks{{kind=\"{kind}\",value=\"{value}\"}} {count}");
    };
    let mut processing = 0;
    for status in TaskStatus::ALL {
        let query = TaskQuery { statuses: Some(vec![status]), ..none.clone() };
        let count = store.tasks(query).await?.total;
        put("statuses", status.as_str(), count);
        processing += if status == TaskStatus::Processing { count } else { 0 };
    }
    for kind in TaskKind::ALL {
        let query = TaskQuery { kinds: Some(vec![kind]), ..none.clone() };
        put("types", kind.as_str(), store.tasks(query).await?.total);
    }
    for index in core.shared.snapshot().in_order() {
        let uid = &index.record.uid;
        let query = TaskQuery { index_uids: Some(vec![uid.clone()]), ..none.clone() };
        put("indexes", uid, store.tasks(query).await?.total);
    }
    gauge(text, "is_indexing", "Whether a task is being worked on", u8::from(processing > 0));
    let unfinished = TaskQuery {
        statuses: Some(vec![TaskStatus::Enqueued, TaskStatus::Processing]),
        limit: 1,
        reverse: true,
        ..TaskQuery::default()
    };
    let oldest = store.tasks(unfinished).await?.tasks.into_iter().next();
    let waits = |task: TaskRecord| (clock::utc() - task.enqueued_at).as_seconds_f64().max(0.0);
    let latency = oldest.map_or(0.0, waits);
    gauge(text, "task_queue_latency_seconds", "Age of the oldest task that has not ended", latency);
    Ok(())
}

fn of_load(core: &Core, text: &mut String) {
    let running: usize = core.shared.in_flight.iter().map(|count| count.load(Ordering::Relaxed)).sum();
    let room = core.edge().in_flight_max.saturating_mul(core.shared.in_flight.len());
    gauge(text, "search_queue_size", "Requests that may be worked on at once", room);
    gauge(text, "searches_running", "Requests that are worked on", running);
    gauge(
        text,
        "searches_waiting_to_be_processed",
        "Requests that wait; the gateway refuses what it has no room for",
        0,
    );
}

/// The requests that this pod has counted, by Meilisearch's names; those of the management API are left out.
fn of_requests(text: &mut String, rendered: &str) {
    let mut counts = String::new();
    let mut times: BTreeMap<(&'static str, String), f64> = BTreeMap::new();
    for line in rendered.lines().filter(|line| line.starts_with("miroir_request")) {
        let Some((name, labels, value)) = parts(line) else { continue };
        let label = |wanted: &str| labels.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let (Some(method), Some(template)) = (label("method"), label("path_template")) else { continue };
        if template.starts_with("/_miroir") || !template.starts_with('/') {
            continue;
        }
        let path = PLACEHOLDERS.iter().fold(template.to_owned(), |path, (own, node)| path.replace(own, node));
        let of_request = format!("method=\"{method}\",path=\"{path}\"");
        match (name, label("status"), label("le")) {
            ("miroir_requests_total", Some(status), _) => {
                let _ = writeln!(
                    counts,
                    "meilisearch_http_requests_total{{{of_request},status=\"{status}\"}} {value}"
                );
            }
            // Meilisearch does not tell times apart by status.
            ("miroir_request_duration_seconds_bucket", _, Some(bound)) => {
                *times.entry(("bucket", format!("{of_request},le=\"{bound}\""))).or_default() += value;
            }
            ("miroir_request_duration_seconds_sum", ..) => {
                *times.entry(("sum", of_request)).or_default() += value;
            }
            ("miroir_request_duration_seconds_count", ..) => {
                *times.entry(("count", of_request)).or_default() += value;
            }
            _ => {}
        }
    }
    begin(text, "http_requests_total", "Requests that were answered", "counter");
    text.push_str(&counts);
    begin(text, "http_response_time_seconds", "Times in which requests were answered", "histogram");
    for ((what, labels), value) in times {
        let _ = writeln!(text, "meilisearch_http_response_time_seconds_{what}{{{labels}}} {value}");
    }
}

type Labels<'l> = Vec<(&'l str, &'l str)>;

/// A line's name, labels and value. No label of the gateway's has a quote in it.
fn parts(line: &str) -> Option<(&str, Labels<'_>, f64)> {
    let (name, rest) = line.split_once('{')?;
    let (labels, value) = rest.rsplit_once('}')?;
    let labels = labels.split("\",").filter_map(|label| label.trim_end_matches('"').split_once("=\""));
    Some((name, labels.collect(), value.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_names_of_a_node() {
        let rendered = "# TYPE miroir_requests_total counter\n\
            miroir_requests_total{method=\"GET\",path_template=\"/indexes/{uid}/stats\",status=\"200\"} 3\n\
            miroir_requests_total{method=\"GET\",path_template=\"/_miroir/ready\",status=\"200\"} 9\n\
            miroir_requests_total{method=\"GET\",path_template=\"unknown\",status=\"404\"} 9\n\
            miroir_request_duration_seconds_bucket{method=\"GET\",path_template=\"/health\",status=\"200\",le=\"0.1\"} 2\n\
            miroir_request_duration_seconds_bucket{method=\"GET\",path_template=\"/health\",status=\"503\",le=\"0.1\"} 1\n\
            miroir_request_duration_seconds_sum{method=\"GET\",path_template=\"/health\",status=\"200\"} 0.25\n\
            miroir_request_panics_total 0\n";
        let mut text = String::new();
        of_requests(&mut text, rendered);
        let lines = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
        assert_eq!(
            lines,
            [
                "meilisearch_http_requests_total{method=\"GET\",path=\"/indexes/{index_uid}/stats\",status=\"200\"} 3",
                "meilisearch_http_response_time_seconds_bucket{method=\"GET\",path=\"/health\",le=\"0.1\"} 3",
                "meilisearch_http_response_time_seconds_sum{method=\"GET\",path=\"/health\"} 0.25",
            ]
        );
    }
}
