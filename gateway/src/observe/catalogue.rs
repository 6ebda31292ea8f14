//! Every metric that the gateway exports: its kind, unit, labels and meaning, in one table. `docs/metrics.md` and the
//! `# HELP` lines are made from it.
//!
//! Invariants: a test fails while the code records a metric that has no row, or the document differs. With `UPDATE=1`
//! in its environment the test writes the document. No label comes from a client's bytes, so each has a bound.

use metrics::Unit;

/// What a metric's value does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows, until the process restarts.
    Counter,
    /// It is what it is now.
    Gauge,
    /// It counts samples by size.
    Histogram,
}

/// One metric.
pub(crate) struct Metric {
    /// Without the prefix `miroir_`.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
    /// With commas; empty for none.
    pub(crate) labels: &'static str,
    /// A sentence without its full stop.
    pub(crate) help: &'static str,
}

const fn counter(name: &'static str, labels: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit: Unit::Count, labels, help }
}

const fn gauge(name: &'static str, labels: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit: Unit::Count, labels, help }
}

const fn seconds(name: &'static str, labels: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, unit: Unit::Seconds, labels, help }
}

const fn sizes(name: &'static str, labels: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, unit: Unit::Count, labels, help }
}

impl Metric {
    const fn in_seconds(self) -> Self {
        Self { unit: Unit::Seconds, ..self }
    }
}

/// Labels of requests.
const REQUEST: &str = "method, path_template, status";

/// Every metric, one a line, by subject.
pub(crate) const METRICS: &[Metric] = &[
    counter("requests_total", REQUEST, "requests that were answered"),
    seconds("request_duration_seconds", REQUEST, "time from a whole request to its answer"),
    gauge("requests_in_flight", "", "requests that are being served"),
    gauge("request_queue_depth", "", "changes that wait for their turn in the lanes of their indexes"),
    counter(
        "request_refusals_total",
        "reason",
        "requests and connections that were refused: a bound's name or an error's code",
    ),
    counter("request_panics_total", "", "requests that ended in a panic; should stay 0"),
    counter("slow_queries_total", "", "searches that took longer than `--slow-query-log`"),
    gauge("node_healthy", "node", "1 while this pod reads from the node, else 0"),
    seconds("node_request_duration_seconds", "node", "time from a request to a node to its whole answer"),
    counter("node_errors_total", "node", "requests that a node did not answer well"),
    counter("hints_total", "node", "writes that a node missed and that were kept for it"),
    gauge("shard_coverage", "", "share of the shards that have a healthy owner; 1 is all"),
    gauge("shard_distribution", "node", "shards that a node holds, at the default shard count"),
    gauge("owned_shards_count", "", "shards of the indexes whose periodic work this pod does"),
    counter("degraded_shards_total", "", "shards that answers lacked"),
    sizes("scatter_fan_out_size", "", "nodes that one search was sent to"),
    counter("scatter_partial_responses_total", "", "answers that lacked some shards"),
    counter("scatter_retries_total", "", "legs that another node was asked for after a failure"),
    counter("hedge_fired_total", "", "legs that another node was asked for because the first was late"),
    counter("coalesced_searches_total", "", "searches that were answered by another one's scatter"),
    counter("narrowed_plans_total", "", "searches that asked only the shards of their keys"),
    sizes("leg_depth", "", "hits that legs of searches were asked for"),
    counter("leg_refills_total", "", "legs that ran dry and were asked for the rest"),
    gauge("session_pinning_active_sessions", "", "sessions that have unapplied writes"),
    gauge("idempotency_cache_entries", "", "idempotency keys that are remembered"),
    gauge("task_registry_size", "", "tasks that are kept"),
    gauge("task_registry_unfinished", "", "tasks that have not ended"),
    gauge("task_processing_age_seconds", "", "age of the oldest task that has not ended").in_seconds(),
    counter("tasks_total", "status", "tasks that have ended, as this pod saw them"),
    counter("store_commands_total", "kind", "commands that data cores sent to the store"),
    seconds("task_store_latency_seconds", "", "time until a write's task was durable in the store"),
    gauge("background_queue_depth", "queue", "jobs that wait for a pod"),
    gauge("settings_version", "index", "version of the settings that all nodes have"),
    counter("settings_hash_mismatch_total", "", "times that nodes did not agree on settings"),
    counter("settings_drift_repair_total", "", "settings that were changed behind the gateway and set again"),
    gauge("settings_frozen_indexes", "", "indexes that take no writes because their settings differ"),
    gauge("antientropy_running", "", "1 while this pod compares copies"),
    counter("antientropy_passes_total", "", "passes over copies that have ended"),
    counter("antientropy_shards_compared_total", "", "shards whose copies were compared"),
    counter("antientropy_documents_compared_total", "", "copies of documents that were compared"),
    counter("antientropy_divergences_total", "", "documents whose copies differed"),
    counter("antientropy_repaired_total", "", "copies that were rewritten or deleted"),
    counter("antientropy_failed_total", "", "comparisons and repairs that failed"),
    gauge("antientropy_last_pass_seconds", "", "when the last pass began, since the epoch").in_seconds(),
    gauge("rebalance_in_progress", "", "1 while this pod changes the cluster's shape"),
    counter("rebalance_phases_total", "phase", "phases of such changes that were entered"),
    counter("rebalance_documents_migrated_total", "", "documents that were copied to their new owners"),
    counter("rebalance_bytes_migrated_total", "", "bytes of these documents"),
    gauge("reshard_in_progress", "", "1 while this pod gives an index another number of shards"),
    counter("reshard_phases_total", "phase", "phases of such operations that were entered"),
    counter(
        "reshard_documents_backfilled_total",
        "",
        "documents that were copied to an index's further copies",
    ),
    counter(
        "reshard_documents_repaired_total",
        "",
        "documents that the comparison of both sets of copies made equal",
    ),
    counter("reshard_writes_repeated_total", "", "writes that went to an index's further copies as well"),
    counter("tenant_reads_total", "source", "reads where tenants have groups, by what assigned the tenant"),
    counter("tenant_failovers_total", "", "reads that did not go to the group of their tenant"),
    counter("canary_runs_total", "canary, result", "runs of canaries"),
    seconds("canary_duration_seconds", "canary", "time of a canary's search"),
    gauge("canary_passing", "canary", "1 while the last run of the canary passed, else 0"),
    counter(
        "canary_assertion_failures_total",
        "canary, assertion_type",
        "assertions of canaries that failed",
    ),
    counter("shadow_sent_total", "target", "searches that a shadow answered"),
    seconds("shadow_latency_delta_seconds", "target", "how much longer the shadow took"),
    counter("shadow_diff_total", "target, kind", "differences between a shadow's answers and this cluster's"),
    counter("shadow_errors_total", "target", "searches that a shadow did not answer well"),
    sizes("shadow_kendall_tau", "target", "how alike the order of both answers is; 1 is equal"),
    counter("shadow_dropped_total", "target, reason", "searches that were not sent to a shadow"),
    counter("search_page_clicks_total", "", "clicks on hits of search pages"),
    sizes("search_page_click_position", "", "positions of the hits that were clicked"),
    seconds("search_page_latency_seconds", "", "time of a search as browsers measured it"),
    counter("ttl_documents_expired_total", "", "documents that were deleted because their time was over"),
    counter("ttl_sweeps_total", "", "sweeps for such documents"),
    gauge("peer_pod_count", "", "pods that live, this one included"),
    gauge("leader", "scope", "1 while this pod does the work of the scope for all, else 0"),
    counter("rollover_events_total", "policy", "indexes that policies have begun"),
    counter("rollover_deleted_indexes_total", "policy", "old indexes that policies have deleted"),
    counter("rollover_failures_total", "policy", "checks of policies that failed"),
    gauge("rollover_active_indexes", "policy", "indexes that a policy keeps"),
    gauge("rollover_last_action_seconds", "policy", "when a policy last began an index, since the epoch")
        .in_seconds(),
    counter("cdc_events_total", "", "changes that were put into the stream"),
    counter("cdc_suppressed_total", "origin", "changes of the gateway's own that are not told"),
    counter("cdc_delivered_total", "sink", "events that a sink has taken"),
    counter("cdc_failures_total", "sink", "deliveries that a sink refused or did not answer"),
    counter("cdc_dropped_total", "sink", "changes that were dropped before a sink had them; should stay 0"),
    gauge("cdc_buffer_bytes", "", "bytes of the stream that are kept"),
    gauge("cdc_lag_seconds", "sink", "age of the oldest change that a sink has not got").in_seconds(),
    counter("chat_searches_total", "", "searches that models asked for in conversations"),
    counter("backups_total", "status", "backups that were made, or failed"),
    gauge("memory_pressure", "", "share of the memory allowed to the process that it uses"),
    gauge("runtime_info", "runtime, driver", "always 1; the labels say what requests are served with"),
    counter("traces_dropped_total", "", "traces that could not be handed to the collector"),
];

/// Tells the recorder what each metric means.
pub(crate) fn describe() {
    for metric in METRICS {
        let name = format!("miroir_{}", metric.name);
        let help = match metric.labels {
            "" => metric.help.to_owned(),
            labels => format!("{}, by {labels}", metric.help),
        };
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(name, metric.unit, help),
            Kind::Gauge => metrics::describe_gauge!(name, metric.unit, help),
            Kind::Histogram => metrics::describe_histogram!(name, metric.unit, help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    const INTRODUCTION: &str = "\
<!-- Made from gateway/src/observe/catalogue.rs by `just metrics-doc`; a test compares. -->
# Metrics of `miroir`

Prometheus reads them at `/metrics` on the port of `--metrics-listen`, without a key, and at `/_miroir/metrics` with
the admin key. Every name begins with `miroir_`.
A histogram has the series `_bucket`, `_sum` and `_count`.
Labels hold nothing that clients send: nodes, indexes and routes bound their number.

| metric | kind | unit | labels | means |
|---|---|---|---|---|
";

    fn markdown() -> String {
        let mut text = INTRODUCTION.to_owned();
        for metric in METRICS {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let unit = if metric.unit == Unit::Count { "" } else { metric.unit.as_str() };
            let labels = metric.labels.split(", ").filter(|label| !label.is_empty());
            let labels = labels.map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
            let _ =
                writeln!(text, "| `miroir_{}` | {kind} | {unit} | {labels} | {} |", metric.name, metric.help);
        }
        text
    }

    #[test]
    fn the_metrics_document_is_up_to_date() {
        let expected = markdown();
        if std::env::var_os("UPDATE").is_some() {
            return fs::write(FILE, expected).unwrap();
        }
        let text = fs::read_to_string(FILE).unwrap_or_default();
        assert!(text == expected, "docs/metrics.md is out of date: `just metrics-doc` writes it anew");
    }

    /// The names that the macros of `metrics` are given, in all sources.
    fn recorded(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                recorded(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                for kind in ["counter!(", "gauge!(", "histogram!("] {
                    for rest in text.split(kind).skip(1) {
                        let name = rest.trim_start().strip_prefix("\"miroir_");
                        found.extend(name.and_then(|name| name.split('"').next()).map(str::to_owned));
                    }
                }
            }
        }
    }

    #[test]
    fn every_metric_that_is_recorded_has_a_row_and_the_other_way_round() {
        let mut found = BTreeSet::new();
        recorded(Path::new(SOURCES), &mut found);
        let known = METRICS.iter().map(|metric| metric.name.to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(known.len(), METRICS.len(), "a metric has two rows");
        assert_eq!(found, known);
    }

    #[test]
    fn names_say_their_unit_and_help_is_one_line() {
        for metric in METRICS {
            let (name, help) = (metric.name, metric.help);
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_seconds"), metric.unit == Unit::Seconds, "{name}");
            assert!(!help.ends_with('.') && !help.contains(['\n', '|']), "{name}: {help}");
        }
    }
}
