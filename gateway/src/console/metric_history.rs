//! The gateway's own metrics of the last hour, as few series, for the console's charts.
//!
//! Invariants: the history is a ring of `CONSOLE_POINTS_MAX` points, whatever the gateway does. A series is a rate, a
//! quantile or a level, computed from two readings of the same text that Prometheus gets; a counter that went back
//! counts from zero.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::config::limits;

/// The series of a point, in order. Rates are per second, latencies in milliseconds.
pub const SERIES: [&str; 16] = [
    "searches",
    "writes",
    "otherRequests",
    "clientErrors",
    "serverErrors",
    "searchP50",
    "searchP95",
    "searchP99",
    "hedges",
    "retries",
    "partialAnswers",
    "coalesced",
    "refusals",
    "inFlight",
    "unfinishedTasks",
    "shardCoverage",
];

/// One moment; a value is absent where there was nothing to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Seconds since 1970.
    pub at: i64,
    pub values: [Option<f32>; SERIES.len()],
}

/// The points of the last hour, oldest first.
#[derive(Debug, Clone, Default)]
pub struct History {
    points: VecDeque<Point>,
}

/// One reading of the metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    searches: f64,
    writes: f64,
    others: f64,
    client_errors: f64,
    server_errors: f64,
    /// Cumulative counts of searches by the upper bound of their latency, in seconds.
    latencies: Vec<(f64, f64)>,
    hedges: f64,
    retries: f64,
    partial: f64,
    coalesced: f64,
    refusals: f64,
    in_flight: f64,
    unfinished: f64,
    coverage: f64,
}

impl History {
    /// The history with one point more.
    #[must_use]
    pub fn with(&self, point: Point) -> Self {
        let mut points = self.points.clone();
        points.push_back(point);
        while points.len() > limits::CONSOLE_POINTS_MAX {
            points.pop_front();
        }
        Self { points }
    }

    /// `{"series": […], "points": [[at, value, …], …]}`.
    #[must_use]
    pub fn view(&self) -> Value {
        json!({"series": SERIES, "points": self.points.iter().map(Point::view).collect::<Vec<_>>()})
    }
}

impl Point {
    /// `[at, value, …]`; null where there was nothing to measure.
    #[must_use]
    pub fn view(&self) -> Value {
        let values = self.values.iter().map(|value| value.map_or(Value::Null, |value| json!(value)));
        std::iter::once(json!(self.at)).chain(values).collect()
    }
}

impl Reading {
    /// Reads the text that Prometheus gets; what it does not know it passes over.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let mut reading = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            reading.add(name, labels, value);
        }
        reading.latencies.sort_by(|one, other| one.0.total_cmp(&other.0));
        reading
    }

    fn add(&mut self, name: &str, labels: &str, value: f64) {
        match name {
            "miroir_requests_total" => {
                match label(labels, "status").and_then(|status| status.chars().next()) {
                    Some('4') => self.client_errors += value,
                    Some('5') => self.server_errors += value,
                    _ => {}
                }
                let template = label(labels, "path_template").unwrap_or_default();
                match (is_search(template), label(labels, "method")) {
                    (true, _) => self.searches += value,
                    (false, Some("POST" | "PUT" | "PATCH" | "DELETE"))
                        if template.starts_with("/indexes") && !template.ends_with("/fetch") =>
                    {
                        self.writes += value;
                    }
                    _ => self.others += value,
                }
            }
            "miroir_request_duration_seconds_bucket"
                if label(labels, "path_template").is_some_and(is_search) =>
            {
                let bound = label(labels, "le").and_then(|bound| match bound {
                    "+Inf" => Some(f64::INFINITY),
                    bound => bound.parse().ok(),
                });
                let Some(bound) = bound else { return };
                match self.latencies.iter_mut().find(|(known, _)| *known == bound) {
                    Some((_, count)) => *count += value,
                    None => self.latencies.push((bound, value)),
                }
            }
            "miroir_hedge_fired_total" => self.hedges += value,
            "miroir_scatter_retries_total" => self.retries += value,
            "miroir_scatter_partial_responses_total" => self.partial += value,
            "miroir_coalesced_searches_total" => self.coalesced += value,
            "miroir_request_refusals_total" => self.refusals += value,
            "miroir_requests_in_flight" => self.in_flight += value,
            "miroir_task_registry_unfinished" => self.unfinished += value,
            "miroir_shard_coverage" => self.coverage += value,
            _ => {}
        }
    }

    /// The point between an earlier reading and this one, `seconds` later.
    #[must_use]
    pub fn since(&self, earlier: &Self, seconds: f64, at: i64) -> Point {
        let rate = |now: f64, before: f64| {
            let grown = if now < before { now } else { now - before };
            some(grown / seconds.max(0.001))
        };
        let grown = self.latencies.iter().map(|(bound, count)| {
            let before = earlier.latencies.iter().find(|(known, _)| known == bound);
            let before = before.map_or(0.0, |(_, count)| *count);
            (*bound, if *count < before { *count } else { count - before })
        });
        let grown = grown.collect::<Vec<_>>();
        let milliseconds = |share| quantile(&grown, share).and_then(|seconds| some(seconds * 1000.0));
        Point {
            at,
            values: [
                rate(self.searches, earlier.searches),
                rate(self.writes, earlier.writes),
                rate(self.others, earlier.others),
                rate(self.client_errors, earlier.client_errors),
                rate(self.server_errors, earlier.server_errors),
                milliseconds(0.5),
                milliseconds(0.95),
                milliseconds(0.99),
                rate(self.hedges, earlier.hedges),
                rate(self.retries, earlier.retries),
                rate(self.partial, earlier.partial),
                rate(self.coalesced, earlier.coalesced),
                rate(self.refusals, earlier.refusals),
                some(self.in_flight),
                some(self.unfinished),
                some(self.coverage),
            ],
        }
    }
}

/// Rounded, so that texts are short.
fn some(value: f64) -> Option<f32> {
    #[allow(clippy::cast_possible_truncation, reason = "a chart needs no more digits")]
    value.is_finite().then(|| ((value * 1000.0).round() / 1000.0) as f32)
}

fn is_search(template: &str) -> bool {
    matches!(
        template,
        "/indexes/{uid}/search" | "/indexes/{uid}/facet-search" | "/indexes/{uid}/similar" | "/multi-search"
    )
}

/// The value of a label in `name="value",…}`; values here hold no quotes.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split("\",").find_map(|pair| {
        let (known, value) = pair.split_once("=\"")?;
        (known == name).then(|| value.trim_end_matches('}').trim_end_matches('"'))
    })
}

/// The quantile of a cumulative histogram, linear within its bucket as Prometheus computes it.
fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let total = buckets.last().map(|(_, count)| *count).filter(|total| *total > 0.0)?;
    let rank = share * total;
    let at = buckets.iter().position(|(_, count)| *count >= rank)?;
    let (lower, below) = if at == 0 { (0.0, 0.0) } else { buckets[at - 1] };
    let (upper, count) = buckets[at];
    if upper.is_infinite() {
        return Some(lower);
    }
    let within = if count > below { (rank - below) / (count - below) } else { 1.0 };
    Some(lower + (upper - lower) * within)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# TYPE miroir_requests_total counter
miroir_requests_total{method=\"POST\",path_template=\"/indexes/{uid}/search\",status=\"200\"} 30
miroir_requests_total{method=\"POST\",path_template=\"/indexes/{uid}/documents\",status=\"202\"} 5
miroir_requests_total{method=\"GET\",path_template=\"/health\",status=\"200\"} 7
miroir_requests_total{method=\"GET\",path_template=\"unknown\",status=\"404\"} 2
miroir_request_duration_seconds_bucket{method=\"POST\",path_template=\"/indexes/{uid}/search\",status=\"200\",le=\"0.01\"} 20
miroir_request_duration_seconds_bucket{method=\"POST\",path_template=\"/indexes/{uid}/search\",status=\"200\",le=\"0.02\"} 30
miroir_request_duration_seconds_bucket{method=\"POST\",path_template=\"/indexes/{uid}/search\",status=\"200\",le=\"+Inf\"} 30
miroir_request_duration_seconds_bucket{method=\"GET\",path_template=\"/health\",status=\"200\",le=\"+Inf\"} 7
miroir_shard_coverage 1
nonsense
";

    fn value(point: &Point, name: &str) -> Option<f32> {
        point.values[SERIES.iter().position(|known| *known == name).unwrap()]
    }

    #[test]
    fn a_point_has_rates_quantiles_and_levels() {
        let point = Reading::of_text(TEXT).since(&Reading::default(), 10.0, 5);
        let check = |name, expected| assert_eq!(value(&point, name), expected, "{name}");
        check("searches", Some(3.0));
        check("writes", Some(0.5));
        check("otherRequests", Some(0.9));
        check("clientErrors", Some(0.2));
        check("serverErrors", Some(0.0));
        check("searchP50", Some(7.5));
        check("searchP95", Some(18.5));
        check("shardCoverage", Some(1.0));
        assert_eq!(point.at, 5);
    }

    #[test]
    fn a_calm_time_has_no_latency_and_a_restart_no_negative_rate() {
        let reading = Reading::of_text(TEXT);
        let calm = reading.since(&reading, 10.0, 0);
        assert_eq!((value(&calm, "searches"), value(&calm, "searchP99")), (Some(0.0), None));
        let more = Reading::of_text(&TEXT.replace(" 30", " 300").replace(" 20", " 200"));
        assert_eq!(value(&reading.since(&more, 10.0, 0), "searches"), Some(3.0));
    }

    #[test]
    fn the_history_is_a_ring() {
        let mut history = History::default();
        for at in 0..2 * i64::try_from(limits::CONSOLE_POINTS_MAX).unwrap() {
            history = history.with(Point { at, values: [None; SERIES.len()] });
        }
        let view = history.view();
        let points = view["points"].as_array().unwrap();
        assert_eq!(points.len(), limits::CONSOLE_POINTS_MAX);
        assert_eq!(points[0][0], limits::CONSOLE_POINTS_MAX);
    }
}
