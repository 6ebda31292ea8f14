//! Metrics with the prefix `miroir_`; every core keeps cached handles to its counters.
//!
//! Invariant: no label comes from a client's bytes; cardinality is bounded by routes and nodes.

use std::{cell::RefCell, time::Duration};

use ahash::AHashMap;
use metrics::{Counter, Histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::observe::catalogue;

/// Upper bounds of the latency buckets, in seconds.
const LATENCY_BUCKETS: &[f64] =
    &[0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// Installs the recorder of the process.
///
/// # Errors
/// When a recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), LATENCY_BUCKETS)?
        .install_recorder()?;
    catalogue::describe();
    Ok(handle)
}

/// A recorder that nothing records to, for a gateway without a metrics endpoint.
#[must_use]
pub fn silent() -> PrometheusHandle {
    PrometheusBuilder::new().build_recorder().handle()
}

/// Cached metric handles of one core.
pub struct CoreMetrics {
    pub panics: Counter,
    pub degraded_shards: Counter,
    pub scatter_retries: Counter,
    pub hedges: Counter,
    pub coalesced: Counter,
    pub narrowed_plans: Counter,
    pub partial_responses: Counter,
    pub slow_queries: Counter,
    /// Until a write's task was durable.
    pub store_latency: Histogram,
    pub fan_out: Histogram,
    /// Hits that legs of searches were asked for.
    pub leg_depth: Histogram,
    /// Legs that ran dry and were asked for the rest.
    pub leg_refills: Counter,
    /// Plans that did not read the group of their tenant.
    pub tenant_failovers: Counter,
    /// By what assigned the tenant to its group.
    tenant_reads: RefCell<AHashMap<&'static str, Counter>>,
    /// By method, path template and status.
    requests: RefCell<AHashMap<(&'static str, &'static str, u16), RequestMetrics>>,
    /// By reason.
    refusals: RefCell<AHashMap<&'static str, Counter>>,
}

#[derive(Clone)]
struct RequestMetrics {
    total: Counter,
    duration: Histogram,
}

impl CoreMetrics {
    /// Registers this core's handles.
    #[must_use]
    pub fn new() -> Self {
        Self {
            panics: metrics::counter!("miroir_request_panics_total"),
            degraded_shards: metrics::counter!("miroir_degraded_shards_total"),
            scatter_retries: metrics::counter!("miroir_scatter_retries_total"),
            hedges: metrics::counter!("miroir_hedge_fired_total"),
            narrowed_plans: metrics::counter!("miroir_narrowed_plans_total"),
            coalesced: metrics::counter!("miroir_coalesced_searches_total"),
            partial_responses: metrics::counter!("miroir_scatter_partial_responses_total"),
            store_latency: metrics::histogram!("miroir_task_store_latency_seconds"),
            slow_queries: metrics::counter!("miroir_slow_queries_total"),
            fan_out: metrics::histogram!("miroir_scatter_fan_out_size"),
            leg_depth: metrics::histogram!("miroir_leg_depth"),
            leg_refills: metrics::counter!("miroir_leg_refills_total"),
            tenant_failovers: metrics::counter!("miroir_tenant_failovers_total"),
            tenant_reads: RefCell::default(),
            requests: RefCell::default(),
            refusals: RefCell::default(),
        }
    }

    /// Counts one request or connection that was refused.
    pub fn refusal(&self, reason: &'static str) {
        let counter = || metrics::counter!("miroir_request_refusals_total", "reason" => reason);
        self.refusals.borrow_mut().entry(reason).or_insert_with(counter).increment(1);
    }

    /// Counts one read where tenants have groups, by what assigned its tenant to a group.
    pub fn tenant_reads(&self, source: &'static str) {
        let counter = || metrics::counter!("miroir_tenant_reads_total", "source" => source);
        self.tenant_reads.borrow_mut().entry(source).or_insert_with(counter).increment(1);
    }

    /// Counts one answered request.
    pub fn request(&self, method: &http::Method, template: &'static str, status: u16, took: Duration) {
        let method = method_name(method);
        let mut requests = self.requests.borrow_mut();
        let handles = requests.entry((method, template, status)).or_insert_with(|| {
            let labels = [
                ("method", method.to_owned()),
                ("path_template", template.to_owned()),
                ("status", status.to_string()),
            ];
            RequestMetrics {
                total: metrics::counter!("miroir_requests_total", &labels),
                duration: metrics::histogram!("miroir_request_duration_seconds", &labels),
            }
        });
        handles.total.increment(1);
        handles.duration.record(took.as_secs_f64());
    }
}

impl Default for CoreMetrics {
    fn default() -> Self {
        Self::new()
    }
}

fn method_name(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
